"""`make fuzz`: shares executions among the parsers, runs each under atheris, and says what was found.

    python tests/fuzz/campaign.py --executions 10000000 --json

Findings are written to `findings/<parser>/` beside the corpus; once understood, they belong into
`tests/fuzz/regressions/<parser>/`, which CI feeds to the parser. `outcomes.jsonl` keeps what each parser's run came to:
a campaign that was interrupted goes on behind it with --resume.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INPUT_TIMEOUT_S = 10  # one input that takes longer is a hang
MEMORY_LIMIT_MB = 1024  # of the whole process; a parser that keeps what it read gets there


@dataclass(frozen=True)
class Outcome:
    """What one parser's run came to."""

    parser: str
    executions: int
    seconds: float
    corpus: int  # inputs that reached something new
    peak_mb: int
    findings: list[str]


def run_target(name: str, executions: int, max_bytes: int, seeds: list[bytes], folder: Path) -> Outcome:
    """Fuzz one parser until `executions` are done or something is found."""
    import time

    corpus, findings = folder / "corpus" / name, folder / "findings" / name
    for path in (corpus, findings):
        path.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    started_s = time.monotonic()
    command = [
        sys.executable,
        str(HERE / "one_target.py"),
        name,
        str(corpus),
        *([str(kept)] if (kept := HERE / "regressions" / name).is_dir() else []),
        f"-runs={executions}",
        f"-max_len={max_bytes}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_LIMIT_MB}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-verbosity=0",
        "-reload=0",
    ]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{HERE}"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    words = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    (folder / f"{name}.log").write_text(words, encoding="utf-8")

    def figure(what: str) -> int:
        found = re.search(rf"stat::{what}:\s+(\d+)", words)
        return int(found[1]) if found else 0

    found = sorted(path.name for path in findings.iterdir())
    if done.returncode and not found:
        found = [f"exit status {done.returncode}: {words.strip().splitlines()[-1] if words.strip() else 'no word'}"]
    return Outcome(
        name,
        figure("number_of_executed_units"),
        round(time.monotonic() - started_s, 1),
        len(list(corpus.iterdir())),
        figure("peak_rss_mb"),
        found,
    )


def outcomes_before(path: Path) -> dict[str, Outcome]:
    """The runs of an interrupted campaign that found nothing, by parser."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    outcomes = (Outcome(**json.loads(line)) for line in lines if line.endswith("}"))  # the last may be cut
    return {outcome.parser: outcome for outcome in outcomes if not outcome.findings}


def main() -> int:
    """Run the campaign; 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=10_000_000, help="of all parsers together")
    parser.add_argument("--only", nargs="*", default=None, help="parsers to fuzz; all without it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parsers at a time")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="corpus, logs and findings")
    parser.add_argument("--resume", action="store_true", help="keep the runs of that folder which found nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(HERE)]
    from fuzz_targets import TARGETS, Target

    chosen = [target for target in TARGETS if options.only is None or target.name in options.only]
    whole = sum(target.share for target in chosen)
    kept = options.folder / "outcomes.jsonl"
    before = outcomes_before(kept) if options.resume else {}

    def run(target: Target) -> Outcome:
        executions = round(options.executions * target.share / whole)
        if target.name in before and before[target.name].executions >= executions:
            return before[target.name]
        outcome = run_target(target.name, executions, target.max_bytes, target.seeds(), options.folder)
        with kept.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(outcome)) + "\n")
        return outcome

    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(run, sorted(chosen, key=lambda target: -target.share)))
    found = sum(len(outcome.findings) for outcome in outcomes)
    total = sum(outcome.executions for outcome in outcomes)
    if options.json:
        print(json.dumps({"executions": total, "findings": found, "parsers": [asdict(o) for o in outcomes]}))  # noqa: T201
    else:
        for o in outcomes:
            said = ", ".join(o.findings) or "nothing found"
            print(  # noqa: T201
                f"{o.parser:12} {o.executions:>10,} executions {o.seconds:>8.1f} s "
                f"{o.corpus:>5} inputs kept {o.peak_mb:>5} MB  {said}"
            )
        print(f"{total:,} executions, {found} findings")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
