"""Names and source lines of an ELF file, read by pyelftools on first use.

Whatever a damaged file makes the library raise comes out as BadInputError.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from shared.errors import BadInputError

SHF_ALLOC, SHF_EXECINSTR, SHF_COMPRESSED = 0x2, 0x4, 0x800
MAX_UNPACKED_BYTES = 256 << 20  # of a compressed debug section
MAPPING = ("$t", "$d", "$a")  # ARM ELF: code, data, ARM code begin here


@dataclass(frozen=True, order=True)
class Symbol:
    """A function or object. `size` of a function without one reaches to the next function or its section's end."""

    address: int
    size: int
    name: str
    kind: str  # "function" or "object"
    section: str


@dataclass(frozen=True)
class Section:
    """One section; kind is code, data, zeroed, or debug (not loaded)."""

    name: str
    address: int
    size: int
    kind: str


@dataclass(frozen=True, order=True)
class Line:
    """Source line of the code at [start, end)."""

    start: int
    end: int
    file: str
    line: int


@contextmanager
def _reading(part: str) -> Iterator[None]:
    """Turn whatever the library raises into BadInputError."""
    try:
        yield
    except BadInputError:
        raise
    except Exception as error:
        raise BadInputError(f"the ELF file's {part} is damaged: {type(error).__name__}: {error}") from error


class Symbols:
    """Symbols, sections and lines of one ELF file; empty for other firmware."""

    def __init__(self, elf: bytes | None = None) -> None:
        self._elf = elf

    @cached_property
    def _file(self) -> Any:
        from elftools.elf.elffile import ELFFile  # here, so that emulation alone does not load it

        with _reading("header"):
            file = ELFFile(io.BytesIO(self._elf or b""))
            for section in file.iter_sections():
                if section["sh_flags"] & SHF_COMPRESSED and section.data_size > MAX_UNPACKED_BYTES:
                    raise BadInputError(f"section {section.name} claims {section.data_size} unpacked bytes")
            return file

    @cached_property
    def sections(self) -> list[Section]:
        """In the file's order."""
        if self._elf is None:
            return []
        with _reading("section table"):
            found = []
            for section in self._file.iter_sections():
                flags = section["sh_flags"]
                kind = "debug"
                if flags & SHF_ALLOC:
                    kind = "code" if flags & SHF_EXECINSTR else "data"
                    kind = "zeroed" if section["sh_type"] == "SHT_NOBITS" else kind
                if section.name:
                    found.append(Section(section.name, section["sh_addr"], section["sh_size"], kind))
            return found

    @cached_property
    def _raw(self) -> list[tuple[str, int, int, str, str, int]]:
        """(name, value, size, type, binding, section index) of every symbol."""
        if self._elf is None:
            return []
        with _reading("symbol table"):
            found = []
            for table in self._file.iter_sections():
                if table["sh_type"] == "SHT_SYMTAB":
                    for symbol in table.iter_symbols():
                        info, index = symbol["st_info"], symbol["st_shndx"]
                        place = index if isinstance(index, int) else -1
                        found.append(
                            (symbol.name, symbol["st_value"], symbol["st_size"], info["type"], info["bind"], place)
                        )
            return found

    @cached_property
    def functions(self) -> list[Symbol]:
        """By address, one an address; assembly labels count where they are global and in no function."""
        sections = self._numbered
        code = {index for index, section in sections.items() if section.kind == "code"}
        marked = {(v & ~1, s, n, p) for n, v, s, kind, _, p in self._raw if kind == "STT_FUNC" and p in code}
        functions = [(a, a + max(s, 2)) for a, s, _, _ in marked]
        covered = sorted(functions + [(o.address, o.address + o.size) for o in self.objects])
        starts = [start for start, _ in covered]
        for name, value, size, kind, binding, place in self._raw:
            if kind == "STT_NOTYPE" and binding != "STB_LOCAL" and place in code and not name.startswith("$"):
                at = bisect_right(starts, value & ~1) - 1
                if at < 0 or value & ~1 >= covered[at][1]:
                    marked.add((value & ~1, size, name, place))
        best: dict[int, tuple[int, int, str, int]] = {}
        for item in sorted(marked, key=lambda item: (item[0], -item[1], item[2].count("_"), item[2])):
            best.setdefault(item[0], item)
        ordered = sorted(best.values())
        found = []
        for i, (address, size, name, place) in enumerate(ordered):
            section = sections[place]
            end = section.address + section.size
            if i + 1 < len(ordered):
                end = min(end, ordered[i + 1][0]) if ordered[i + 1][0] > address else end
            found.append(Symbol(address, size or max(0, end - address), name, "function", section.name))
        return found

    @cached_property
    def objects(self) -> list[Symbol]:
        """Variables and constants by address."""
        sections = self._numbered
        found = {
            Symbol(value, size, name, "object", sections[place].name)
            for name, value, size, kind, _, place in self._raw
            if kind == "STT_OBJECT" and place in sections and size
        }
        return sorted(found)

    @cached_property
    def _numbered(self) -> dict[int, Section]:
        """Sections that are loaded, by their number."""
        if self._elf is None:
            return {}
        with _reading("section table"):
            names = {section.name: section for section in self.sections if section.kind != "debug"}
            listed = enumerate(self._file.iter_sections())
            return {i: names[section.name] for i, section in listed if section.name in names}

    @cached_property
    def mapping(self) -> list[tuple[int, str]]:
        """(address, "t", "d" or "a"): where Thumb code, data and ARM code begin."""
        return sorted({(v & ~1, n[1]) for n, v, *_ in self._raw if n[:2] in MAPPING and n[2:3] in ("", ".")})

    @cached_property
    def _starts(self) -> list[int]:
        return [symbol.address for symbol in self.functions]

    @cached_property
    def _object_starts(self) -> list[int]:
        return [symbol.address for symbol in self.objects]

    def function_at(self, address: int) -> Symbol | None:
        """The function that an address belongs to."""
        return _covering(self.functions, self._starts, address)

    def symbol_at(self, address: int) -> Symbol | None:
        """The function or object that an address belongs to."""
        return self.function_at(address) or _covering(self.objects, self._object_starts, address)

    def describe(self, address: int) -> str:
        """`main+0x12`, or the empty string where no symbol is."""
        symbol = self.symbol_at(address)
        if symbol is None:
            return ""
        return symbol.name + (f"+0x{address - symbol.address:x}" if address != symbol.address else "")

    @cached_property
    def _addresses(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for name, value, _, kind, _, place in self._raw:
            if name and not name.startswith("$") and place >= 0 and kind != "STT_SECTION":
                found.setdefault(name, set()).add(value & ~1 if kind == "STT_FUNC" else value)
        return found

    def address(self, name: str) -> int:
        """Address of a symbol; bit 0 of functions is clear. Raises BadInputError."""
        found = sorted(self._addresses.get(name, ()))
        if len(found) == 1:
            return found[0]
        if found:
            raise BadInputError(f"several symbols are called {name}: {', '.join(f'0x{at:08x}' for at in found)}")
        if not self._addresses:
            raise BadInputError(f"{name!r}: this firmware has no symbols; load the ELF file, or give an address")
        near = sorted(other for other in self._addresses if name.lower() in other.lower())[:5]
        raise BadInputError(f"no symbol is called {name}" + (f"; there is {', '.join(near)}" if near else ""))

    def size_of(self, name: str) -> int:
        """Size of a function or object; 0 when the file does not say."""
        sizes = [size for other, _, size, kind, *_ in self._raw if other == name and kind != "STT_SECTION"]
        return max(sizes, default=0)

    @cached_property
    def lines(self) -> list[Line]:
        """Source lines by address; empty without debug information."""
        if self._elf is None:
            return []
        code = [(s.address, s.address + s.size) for s in self.sections if s.kind == "code"]
        with _reading("debug information"):
            if not self._file.has_dwarf_info():
                return []
            dwarf = self._file.get_dwarf_info()
            found: set[Line] = set()
            for unit in dwarf.iter_CUs():
                program = dwarf.line_program_for_CU(unit)
                if program is not None:
                    found.update(_lines_of(program, _directory(unit)))
            return sorted(line for line in found if any(low <= line.start < high for low, high in code))

    @cached_property
    def _line_starts(self) -> list[int]:
        return [line.start for line in self.lines]

    def line_at(self, address: int) -> Line | None:
        """Source line of an instruction."""
        at = bisect_right(self._line_starts, address) - 1
        return self.lines[at] if at >= 0 and address < self.lines[at].end else None

    @cached_property
    def build_id(self) -> str | None:
        """The linker's build id, in hex."""
        if self._elf is None:
            return None
        with _reading("notes"):
            for section in self._file.iter_sections():
                if section["sh_type"] == "SHT_NOTE":
                    for note in section.iter_notes():
                        if note["n_type"] == "NT_GNU_BUILD_ID":
                            return str(note["n_desc"])
        return None


def _covering(symbols: list[Symbol], starts: list[int], address: int) -> Symbol | None:
    at = bisect_right(starts, address) - 1
    return symbols[at] if at >= 0 and address < symbols[at].address + max(1, symbols[at].size) else None


def _directory(unit: Any) -> str:
    value = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
    return _text(value.value) if value is not None else ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _lines_of(program: Any, directory: str) -> Iterator[Line]:
    """Ranges of one line program. DWARF 5 counts files and directories from 0, with 0 the unit itself."""
    header = program.header
    first = 0 if header["version"] >= 5 else 1
    names = []
    for entry in header["file_entry"]:
        folders, index = header["include_directory"], entry["dir_index"]
        folder = ""
        if index >= first and index - first < len(folders):
            folder = _text(folders[index - first])
        names.append(str(PurePosixPath(directory, folder, _text(entry["name"]))))
    before = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and state.address > before.address:
            file = before.file - first
            name = names[file] if 0 <= file < len(names) else "?"
            yield Line(before.address, state.address, name, before.line)
        before = None if state.end_sequence else state
