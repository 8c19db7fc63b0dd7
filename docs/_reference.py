"""Griffe extension: what the reference needs to know of this package, beyond what griffe reads by itself.

Docstrings are Markdown with doctest examples. Markdown takes `>>>` for quotations within quotations, so each example becomes a
fenced block; and a list needs a blank line before it.

`spanax.expectation` is a function and, in a part of the package, also the file that it stands in. Python has the function, griffe
the file, which it reads later: the public names are put back.

An Equinox module is a dataclass without the decorator, so griffe does not see its signature: it is made of the fields, as that
of a named tuple.
"""

import re
from collections.abc import Iterator

import griffe

EXAMPLE = re.compile(r"(?:^[ ]*>>> .*\n?)(?:^[ ]*\S.*\n?)*", re.MULTILINE)
SECTION = re.compile(r"^(Arguments|Returns|Yields|Raises|Attributes|Example|Examples):[ ]*", re.MULTILINE)
LIST = re.compile(r"^(?!- |[ ])(\S.*)\n(?=- )", re.MULTILINE)
BY_FIELDS = {"equinox.Module", "typing.NamedTuple"}


def as_markdown(docstring: str) -> str:
    """The docstring with examples fenced, section names in bold and lists set off."""
    prose, examples = EXAMPLE.split(docstring), EXAMPLE.findall(docstring)
    fenced = [f"\n```pycon\n{example.rstrip()}\n```\n" for example in examples]
    parts = [LIST.sub(r"\1\n\n", SECTION.sub(r"**\1:** ", text)) for text in prose]
    return "".join(text + block for text, block in zip(parts, [*fenced, ""], strict=True)).strip()


def inside(parent: griffe.Module | griffe.Class) -> Iterator[griffe.Module | griffe.Class]:
    """All modules and classes of a module or class, itself first."""
    yield parent
    for member in list(parent.members.values()):
        if not member.is_alias and (member.is_module or member.is_class):
            yield from inside(member)


def own(member: griffe.Object | griffe.Alias) -> griffe.Object | None:
    """What a member is in this package; None if it is another package's."""
    if not member.is_alias:
        return member
    return member.final_target if member.resolved else None


def put_back(packages: list[griffe.Module]) -> None:
    """Members that share their name with the file that defines them: the function or class, not the file."""
    meant = []
    for package in packages:
        for name, member in package.members.items():
            target = whole = own(member)
            while target and target.is_module and name in target.members:  # command/command.py has a function command
                target = own(target.members[name])
            if target and target is not whole:
                meant.append((package, name, target))
    for package, name, target in meant:
        package.members[name] = griffe.Alias(name, target, parent=package)


def lacks_signature(cls: griffe.Class) -> bool:
    """Whether a class leaves its `__init__` to its fields, without griffe knowing."""
    family = [cls, *cls.mro()]
    bases = [base.canonical_path for each in family for base in each.bases if isinstance(base, griffe.Expr)]
    return bool(BY_FIELDS & {*bases}) and not any("__init__" in each.members for each in family)


def fields(cls: griffe.Class) -> griffe.Parameters:
    """The annotated attributes of a class and of those it derives from, as parameters; class variables are none."""
    parameters = {}
    for each in reversed([cls, *cls.mro()]):
        for name, attribute in each.attributes.items():
            if attribute.annotation is not None and "instance-attribute" in attribute.labels:
                default, kind = attribute.value, griffe.ParameterKind.positional_or_keyword
                if isinstance(default, griffe.ExprCall) and default.canonical_path == "equinox.field":
                    default = {a.name: a.value for a in default.arguments}.get("default")
                parameters[name] = griffe.Parameter(name, annotation=attribute.annotation, kind=kind, default=default)
    return griffe.Parameters(*parameters.values())


class Reference(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs) -> None:
        loader.resolve_aliases(implicit=True, external=False)
        griffe.DataclassesExtension().on_package(
            pkg=pkg, loader=loader
        )  # griffe's own comes last, and needs the files' paths
        found = list(inside(pkg))
        for cls in [each for each in found if each.is_class and lacks_signature(each)]:
            cls.set_member("__init__", griffe.Function("__init__", parameters=fields(cls), parent=cls))
        put_back([each for each in found if each.is_module and each.is_init_module])
