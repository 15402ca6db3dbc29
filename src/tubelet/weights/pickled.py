"""Pickles of strangers, gone through without making anything of them.

torch's weights-only reader calls nothing but what it allows. That is more than weights need: among it are sparse,
quantized and empty tensors, and a buffer of any length. Here only what weights are made of is let through, and a
small pickle that would become large or take for ever, because it names the same thing again and again, is not.
"""

import pickletools
from collections.abc import Collection
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import IO, Any, cast

from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from tubelet.errors import WeightsError

# Bytes of a number.
STORAGES = {
    **{"torch.DoubleStorage": 8, "torch.FloatStorage": 4, "torch.HalfStorage": 2, "torch.BFloat16Storage": 2},
    **{"torch.LongStorage": 8, "torch.IntStorage": 4, "torch.ShortStorage": 2, "torch.CharStorage": 1},
    **{"torch.ByteStorage": 1, "torch.BoolStorage": 1},
}
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
# What files of weights are made of, and what training leaves beside them. No tensor is made of any size that the
# file does not hold.
PLAIN = frozenset(
    {
        "collections.OrderedDict",
        "collections.Counter",  # the milestones of a schedule
        "builtins.set",
        "_codecs.encode",  # how bytes are written
        "torch.Size",
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        *STORAGES,
        *(f"torch.{name}" for name in DTYPES),
    }
)
# Kinds of tensors that are refused by name.
KINDS = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without numbers",
    "torch.ComplexFloatStorage": "complex numbers",
    "torch.ComplexDoubleStorage": "complex numbers",
    "torch._utils._rebuild_tensor_v3": "numbers of a kind that weights are not, such as float8 or uint16",
}
REBUILT = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
TENSORS = (*REBUILT, "torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
MAX_OPCODES = 500_000
MAX_WORK = 3_000_000  # things looked at when everything that is named again is counted again
MAX_DEPTH = 100  # of tuples in tuples: Python's hash of deeper ones ends the process
# Whole numbers above the prime of Python's hash, and tuples, can be chosen to fall all in one place of a table.
LARGEST_KEY = (1 << 61) - 2
MAX_ODD_KEYS = 5_000


@dataclass(eq=False, slots=True)
class Thing:
    """What an instruction would put on the stack: its length in small units, and what it holds."""

    length: int = 1
    parts: list["Thing"] = field(default_factory=list)
    value: Any = None  # of a number, a text or a name; how many numbers a storage has
    maker: str = ""  # the name of what a call made it with
    depth: int = 0  # of tuples in tuples


def check_pickle(
    file: BufferedIOBase, allowed: Collection[str] = (), package: str | None = None
) -> dict[str, int]:
    """How many bytes the pickle at the file's place asks for, by the names of its storages.

    A WeightsError, without the file's name, unless it holds only tensors, plain containers and values, and the
    types that are `allowed` by name or by the `package` that all of them are in. Reads to the pickle's end.
    """
    machine = _Machine(PLAIN.union(allowed), package)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], file))):
            if number > MAX_OPCODES:
                raise WeightsError(f"has a pickle of more than {MAX_OPCODES:,} instructions")
            machine.step(opcode.name, argument)
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle fails in any way there is
        raise WeightsError(
            f"cannot be opened as weights: it is no PyTorch file, or a damaged one ({type(error).__name__})"
        ) from None
    return machine.storages


class _Machine:
    """The stack and the memo of torch's reader, holding lengths instead of values."""

    def __init__(self, allowed: Collection[str], package: str | None):
        self._allowed, self._package = allowed, package
        self._stack: list[Thing] = []
        self._marked: list[list[Thing]] = []
        self._memo: dict[int, Thing] = {}
        self._work = self._odd_keys = 0
        self.storages: dict[str, int] = {}

    def step(self, name: str, argument: Any) -> None:
        """What one instruction does."""
        stack = self._stack
        if name == "PROTO":
            if argument > 3:
                raise WeightsError(
                    f"is a pickle of protocol {argument}, which cannot be read safely; where it was made, write "
                    "it by torch.save as it does by itself"
                )
        elif name == "GLOBAL":
            # Pickles of torch.save have the names of Python 2, which torch's reader takes for today's.
            module, _, part = argument.partition(" ")
            module, part = NAME_MAPPING.get((module, part), (IMPORT_MAPPING.get(module, module), part))
            self._check_name(f"{module}.{part}")
            stack.append(Thing(value=f"{module}.{part}"))
        elif name == "MARK":
            self._marked.append(stack)
            self._stack = []
        elif name in VALUES:
            long = isinstance(argument, str | bytes)
            stack.append(Thing(length=1 + len(argument) // 16 if long else 1, value=argument))
        elif name in TUPLES:
            parts = [stack.pop() for _ in range(TUPLES[name])][::-1]
            stack.append(_tuple(parts))
        elif name == "TUPLE":
            parts = self._since_mark()
            self._stack.append(_tuple(parts))
        elif name in ("APPENDS", "SETITEMS"):
            parts = self._since_mark()
            self._fill(parts, keys=name == "SETITEMS")
        elif name in ("APPEND", "SETITEM"):
            parts = [stack.pop() for _ in range(1 + (name == "SETITEM"))][::-1]
            self._fill(parts, keys=name == "SETITEM")
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            stack.append(self._call(str(called.value), arguments))
        elif name == "BUILD":
            self._change(stack[-2], stack.pop())
        elif name == "BINPERSID":
            stack[-1] = self._keep(stack[-1])
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            if argument > MAX_OPCODES:  # Python's own reader makes room for all below
                raise WeightsError(f"is damaged: its pickle has a place {argument:,}")
            self._memo[argument] = stack[-1]
        elif name == "STOP":
            stack.pop()
        else:
            raise WeightsError(f"is a pickle with the instruction {name}, which torch.save does not write")

    def _check_name(self, name: str) -> None:
        if name in self._allowed or (self._package and name.startswith(f"{self._package}.")):
            return
        if name.startswith("deepspeed."):
            raise WeightsError(
                "is what DeepSpeed keeps for going on with a training; the weights are in "
                "mp_rank_00_model_states.pt, or made of its parts by its zero_to_fp32.py"
            )
        if kind := KINDS.get(name):
            raise WeightsError(f"holds {kind}; only dense tensors of floats and whole numbers are read")
        shown = name if name.isprintable() and len(name) < 200 else ascii(name[:200])
        raise WeightsError(
            f"holds more than tensors ({shown}) and was not opened; where it was made, save its state_dict alone"
        )

    def _since_mark(self) -> list[Thing]:
        parts, self._stack = self._stack, self._marked.pop()
        return parts

    def _fill(self, parts: list[Thing], *, keys: bool) -> None:
        if keys:
            for key in parts[::2]:
                self._count(key)
            self._check_keys(parts[::2])
        self._stack[-1].parts.extend(parts)

    def _check_keys(self, keys: list[Thing]) -> None:
        """Refuse so many keys that Python may take for each other that a table of them takes for ever."""
        plain = (str, bytes, float)
        odd = [k for k in keys if not isinstance(k.value, plain) and not _is_small(k.value)]
        self._odd_keys += len(odd)
        if self._odd_keys > MAX_ODD_KEYS:
            raise WeightsError(
                f"has a pickle with more than {MAX_ODD_KEYS:,} keys that are neither names nor counts"
            )

    def _call(self, name: str, arguments: Thing) -> Thing:
        """What a call makes."""
        cost, parts = self._count(arguments), arguments.parts
        if name == "_codecs.encode" and [part.value for part in parts[1:]] != ["latin1"]:
            raise WeightsError("has a pickle with bytes in another code than torch.save writes")
        if name in REBUILT:
            _check_shape(parts)
        if name in ("builtins.set", "collections.Counter"):
            self._check_keys([key for part in parts for key in part.parts])
        if name == "collections.OrderedDict":
            self._check_keys([key for part in parts for pair in part.parts for key in pair.parts[:1]])
        # A torch.Size stands for a tuple, as which older files have the shapes of tensors.
        if name == "torch.Size":
            return _tuple([size for part in parts for size in part.parts])
        return Thing(length=cost, maker=name)

    def _change(self, made: Thing, state: Thing) -> None:
        """What is given to a thing after it was made."""
        self._count(state)
        self._check_keys([key for pair in state.parts for key in pair.parts[:1]])
        if made.maker in TENSORS and len(state.parts) == 4:  # a storage, a place in it, a shape and strides
            raise WeightsError("is a pickle that makes tensors longer, which torch.save does not write")

    def _keep(self, thing: Thing) -> Thing:
        """Note how long a storage is: ("storage", type, name, device, numbers), and where it is a part of one."""
        values = [part.value for part in thing.parts[:5]]
        if len(values) < 5 or values[1] not in STORAGES or type(values[4]) is not int or values[4] < 0:
            raise WeightsError("is damaged: a storage without a type or a length")
        name, length = str(values[2]), values[4] * STORAGES[values[1]]
        self.storages[name] = max(length, self.storages.get(name, 0))
        part = [value.value for value in thing.parts[5].parts] if len(thing.parts) > 5 else []
        if not part:
            return Thing(value=values[4])
        if len(part) != 3 or not _are_sizes(part[1:]):
            raise WeightsError("is damaged: a part of a storage without a place or a length")
        return Thing(value=max(min(part[2], values[4] - part[1]), 0))

    def _count(self, thing: Thing) -> int:
        """Go through everything that a call or a key would go through, as often as it is named."""
        before, waiting = self._work, [thing]
        while waiting:
            thing = waiting.pop()
            self._work += thing.length
            if self._work > MAX_WORK:
                raise WeightsError("has a pickle that names the same things over and over; it was not opened")
            waiting.extend(thing.parts)
        return self._work - before


def _tuple(parts: list[Thing]) -> Thing:
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > MAX_DEPTH:
        raise WeightsError(f"has a pickle of tuples nested deeper than {MAX_DEPTH}")
    return Thing(parts=parts, depth=depth)


def _is_small(value: Any) -> bool:
    return isinstance(value, int) and abs(value) <= LARGEST_KEY


def _are_sizes(values: list[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _check_shape(parts: list[Thing]) -> None:
    """Refuse a tensor (storage, offset, shape, strides) that its storage has not the numbers for.

    Reading a file of the old kind, torch makes the storage longer, and copies it, for each such tensor.
    """
    numbers, offset = (part.value for part in parts[:2])
    shape, strides = ([part.value for part in sizes.parts] for sizes in parts[2:4])
    if len(shape) != len(strides) or not _are_sizes([numbers, offset, *shape, *strides]):
        raise WeightsError("is damaged: a tensor without a shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= numbers:
        shown = str(tuple(shape)) if len(shape) < 10 else f"of {len(shape)} dimensions"
        raise WeightsError(f"is damaged: a tensor {shown} of {numbers:,} numbers")


TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
VALUES = frozenset(
    {
        *(
            "NONE",
            "NEWTRUE",
            "NEWFALSE",
            "EMPTY_LIST",
            "EMPTY_DICT",
            "EMPTY_SET",
            "BININT",
            "BININT1",
            "BININT2",
        ),
        *("BINFLOAT", "LONG1", "BINUNICODE", "SHORT_BINSTRING"),
    }
)
