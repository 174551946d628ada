"""`crustwatch emu`: run firmware on the emulated RP2040, and measure the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run RP2040 firmware without a board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def emu() -> None:
    """Run RP2040 firmware without a board.

    Try: crustwatch emu run firmware.uf2
    """


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="ELF, UF2, or a raw binary named *.bin (0x10000000) or with --address.")],
    bkpt_log: Annotated[
        bool, typer.Option("--bkpt-log", help="Record each BKPT (immediate, r0, cycle) and go on; 0 ends the run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    max_cycles: Annotated[int | None, typer.Option(min=1, help="Stop after this many cycles of clk_sys.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds of real time.")] = None,
    until_text: Annotated[str | None, typer.Option(help="Stop once UART0 or USB has sent this; else fail.")] = None,
    uart_in: Annotated[
        Path | None, typer.Option(help="File whose bytes are sent to UART0 at the firmware's baud rate; - is stdin.")
    ] = None,
    usb_in: Annotated[
        Path | None, typer.Option(help="File whose bytes are sent to the firmware's USB serial port; - is stdin.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail at the first thing that is not modelled or that a board would not do."),
    ] = False,
    through_resets: Annotated[
        bool,
        typer.Option("--through-resets", help="Go on when the watchdog or AIRCR resets the chip, as a board does."),
    ] = False,
    no_native: Annotated[
        bool, typer.Option("--no-native", help="Interpret everything: slower, with the same results.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Let one core run ahead where its accesses cannot matter to the other one.")
    ] = False,
    flash: Annotated[
        Path | None, typer.Option(help="File that keeps the 2 MB of flash from run to run; made when it is missing.")
    ] = None,
    camera: Annotated[
        Path | None, typer.Option(help="Picture, folder of pictures or video that the OV2640 camera sees, in turn.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Where a raw binary goes, as 0x20000000.")] = None,
) -> None:
    """Run a firmware file, print what UART0 and its USB serial port send, and say why it stopped.

    BKPT stops with its immediate and r0-r3. Faults are reported with PC, address and registers; the HardFault handler
    runs as on the chip, and where there is none the core locks up.
    Exit code 0: stopped at a BKPT, a limit, the text, or asleep for good; 1: stopped by a fault or inside the HardFault
    handler, by lock-up, reset or Ctrl-C, or no such text; 2: not a firmware file.

    Example: crustwatch emu run firmware.uf2 --max-cycles 125000000
    """
    from firmware_sim.rp2040.session import RunOptions, run_file

    options = RunOptions(
        bkpt_log,
        as_json,
        max_cycles,
        timeout,
        until_text,
        uart_in,
        usb_in,
        strict,
        through_resets,
        not no_native,
        flash,
        fast,
        camera,
        address,
    )
    raise typer.Exit(run_file(file, options))


FileArgument = Annotated[Path, typer.Argument(help="ELF, UF2, or a raw binary named *.bin (loaded at 0x10000000).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
CyclesOption = Annotated[int | None, typer.Option(min=1, help="Stop after this many cycles of clk_sys.")]
TimeoutOption = Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds of real time.")]
TextOption = Annotated[str | None, typer.Option(help="Stop once UART0 or USB has sent this; else fail.")]
UartInOption = Annotated[Path | None, typer.Option(help="File whose bytes are sent to UART0; - is stdin.")]
LogOption = Annotated[bool, typer.Option("--bkpt-log", help="Go on behind each BKPT; 0 ends the run.")]
ElfOption = Annotated[Path | None, typer.Option(help="ELF file with the symbols of a UF2 or binary.")]


@app.command()
def info(
    file: FileArgument,
    as_json: JsonOption = False,
    top: Annotated[int, typer.Option(min=0, help="How many of the largest symbols to list.")] = 20,
) -> None:
    """Say what is in a firmware file: sections, vectors, second stage, flash and RAM in total and by symbol.

    Example: crustwatch emu info firmware.elf
    """
    from firmware_sim.rp2040.info import print_info

    print_info(file, as_json, top)


@app.command()
def disasm(
    file: FileArgument,
    symbol: Annotated[list[str] | None, typer.Option(help="Function or object; may be repeated.")] = None,
    address: Annotated[str | None, typer.Option(help="First address, as 0x10000100; with --size.")] = None,
    size: Annotated[int, typer.Option(min=2, help="Bytes from --address.")] = 64,
    elf: ElfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Disassemble code with its cycles on the Cortex-M0+; without options all that the file holds.

    The cycles are those without wait states: a branch as not taken/taken, loads and stores as for SRAM.

    Example: crustwatch emu disasm firmware.elf --symbol main
    """
    from firmware_sim.rp2040.listing import print_listing

    print_listing(file, symbol or [], address, size, elf, as_json)


@app.command()
def profile(
    file: FileArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for profile.speedscope.json, callgrind.out and coverage.lcov; default: none are written."
        ),
    ] = None,
    max_cycles: CyclesOption = None,
    timeout: TimeoutOption = None,
    until_text: TextOption = None,
    uart_in: UartInOption = None,
    bkpt_log: LogOption = False,
    elf: ElfOption = None,
    top: Annotated[int, typer.Option(min=1, help="Functions and lines in the table.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Run a firmware file and say where its cycles went: by function, line and chain of calls, with coverage and stack.

    The counts are exact, not sampled. Open the files with speedscope, KCachegrind or genhtml.

    Example: crustwatch emu profile firmware.elf --max-cycles 125000000 --out profile
    """
    from firmware_sim.rp2040.profile_session import profile_file
    from firmware_sim.rp2040.session import RunOptions

    options = RunOptions(bkpt_log, as_json, max_cycles, timeout, until_text, uart_in)
    raise typer.Exit(profile_file(file, options, out, elf, top))


@app.command()
def trace(
    file: FileArgument,
    last: Annotated[int, typer.Option(min=1, help="How many instructions to keep.")] = 64,
    max_cycles: CyclesOption = None,
    timeout: TimeoutOption = None,
    until_text: TextOption = None,
    uart_in: UartInOption = None,
    bkpt_log: LogOption = False,
    elf: ElfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a firmware file and print the last instructions before it stopped, with the registers that changed.

    Example: crustwatch emu trace firmware.elf --last 100
    """
    from firmware_sim.rp2040.profile_session import trace_file
    from firmware_sim.rp2040.session import RunOptions

    options = RunOptions(bkpt_log, as_json, max_cycles, timeout, until_text, uart_in)
    raise typer.Exit(trace_file(file, options, elf, last))


@app.command()
def power(
    file: Annotated[
        Path | None, typer.Argument(help="ELF, UF2 or *.bin; default: the ready-built firmware of the project.")
    ] = None,
    battery: Annotated[str, typer.Option(help="Battery of the task file: CR123A, CR2 or CR2032.")] = "CR123A",
    period: Annotated[float, typer.Option(min=0, help="Seconds from one inference to the next.")] = 60.0,
    temperature: Annotated[float, typer.Option(min=-40, max=125, help="Degrees Celsius at the board.")] = 25.0,
    frames: Annotated[int, typer.Option(min=1, help="Frames to send; medians are taken.")] = 3,
    until_text: TextOption = None,
    max_cycles: CyclesOption = None,
    task: Annotated[str, typer.Option(help="Task, or path of its TOML file, with a section [power].")] = "pizza",
    as_json: JsonOption = False,
) -> None:
    """Model the energy of an inference and the life of a battery from emulated cycles.

    Sends frames by the project's serial protocol. With --until-text or --max-cycles any firmware is run once instead,
    and the run counts as one inference. All figures are modelled from the currents of the task file.

    Example: crustwatch emu power --battery CR123A --period 60
    """
    from firmware_sim.board.energy import PowerOptions, print_energy

    options = PowerOptions(task, battery, period, temperature, frames, until_text, max_cycles)
    print_energy(file, options, as_json)


@app.command()
def gdb(
    file: FileArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 3333,
    uart_in: UartInOption = None,
    once: Annotated[bool, typer.Option("--once", help="End when the first debugger leaves.")] = False,
) -> None:
    """Wait for a debugger: gdb-multiarch firmware.elf -ex 'target remote :3333'.

    The cores are threads 1 and 2. break, watch, step, continue, load and Ctrl-C work; `monitor help` lists more. A
    fault stops with SIGSEGV before its handler runs (`monitor faults off`: let the handler run). What UART0 sends is
    printed here.

    Example: crustwatch emu gdb firmware.elf --port 3333
    """
    from firmware_sim.rp2040.gdb_server import serve_file

    serve_file(file, port, uart_in, once)


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of which the median is taken.")] = 5,
    first_start: Annotated[
        bool, typer.Option("--first-start/--no-first-start", help="Compile everything once more in an empty cache.")
    ] = True,
) -> None:
    """Measure the emulator on this machine: millions of emulated cycles a second; a real chip makes 125.

    Example: crustwatch emu bench --json
    """
    from firmware_sim.rp2040.bench import print_benchmark

    print_benchmark(repeats, as_json, first_start)
