"""Tags and filters of the portal's templates. They show; they decide nothing."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from controlplane.core import clock
from controlplane.portal import figures, words
from controlplane.tenants.targets import targets_offered

register = template.Library()


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the vendored sprite; decorative, so hidden from screen readers."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        f" {extra}" if extra else "",
        static("vendor/lucide/icons.svg"),
        name,
    )


@register.simple_tag
def badge(axis: str, word: str) -> SafeString:
    """A pill with icon and word; says its axis to screen readers and on hover."""
    look = words.look_of(axis, word)
    return format_html(
        '<span class="badge {}" title="{}: {}">{}<span class="sr">{}: </span>{}</span>',
        look.tone,
        axis,
        word,
        icon(look.icon, "spin" if look.spins else ""),
        axis,
        words.word_text(word),
    )


@register.simple_tag
def state(axis: str, word: str) -> SafeString:
    """Like a badge, without the pill: for the cells of dense tables."""
    look = words.look_of(axis, word)
    mark = icon(look.icon, "spin" if look.spins else "")
    return format_html('<span class="state {}">{}{}</span>', look.tone, mark, words.word_text(word))


@register.simple_tag
def state_icon(axis: str, word: str, extra: str = "") -> SafeString:
    look = words.look_of(axis, word)
    return icon(look.icon, f"tone-{look.tone}{' spin' if look.spins else ''} {extra}".strip())


@register.filter
def share(text: str) -> str:
    """`0.99950` as `99.95 %`."""
    return f"{Decimal(text) * 100:.2f} %"


@register.filter
def when(moment: datetime | str | None) -> SafeString | str:
    """`5 min ago`, with the exact time on hover; the browser keeps it current."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment is None:
        return "-"
    return format_html(
        '<time datetime="{}" title="{} UTC" data-relative>{}</time>',
        clock.moment_text(moment),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        figures.relative_text(moment, clock.now()),
    )


@register.filter
def stamp(moment: datetime | str) -> SafeString:
    """`22 Nov 2026, 13:54:22 UTC`: for figures that are true as of a moment and may be compared."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return format_html(
        '<time datetime="{}">{} UTC</time>', clock.moment_text(moment), f"{moment:%d %b %Y, %H:%M:%S}"
    )


@register.filter
def day(moment: datetime | str | None) -> SafeString | str:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment is None:
        return "-"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        clock.moment_text(moment),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        f"{moment:%d %b %Y}",
    )


@register.simple_tag
def took(started: datetime | None, finished: datetime | None) -> SafeString | str:
    """How long something took; while it runs, the browser counts on from the server's figure."""
    if started is None:
        return ""
    seconds = ((finished or clock.now()) - started).total_seconds()
    if finished is not None:
        return figures.elapsed_text(seconds)
    return format_html('<span data-running="{}">{}</span>', f"{seconds:.1f}", figures.elapsed_text(seconds))


@register.filter
def elapsed(seconds: float) -> str:
    return figures.elapsed_text(seconds)


@register.simple_tag
def copy_button(text: str, what: str) -> SafeString:
    return format_html(
        '<button class="copy" type="button" data-copy="{}" aria-label="Copy {}" title="Copy {}">{}{}</button>',
        text,
        what,
        what,
        icon("copy", "todo"),
        icon("check", "done"),
    )


@register.simple_tag
def cli(command: str) -> SafeString:
    """The same thing on the command line, to copy."""
    return format_html(
        '<div class="code line"><pre tabindex="0" aria-label="Command"><span class="prompt">$ </span>{}</pre>{}</div>',
        command,
        copy_button(command, "command"),
    )


@register.filter
def quantity(raw: object) -> str:
    return figures.quantity_text(raw)


@register.filter
def money(raw: object, currency: str = "USD") -> str:
    return figures.money_text(raw, currency)


@register.filter
def price(raw: object, currency: str = "USD") -> str:
    return figures.price_text(raw, currency)


@register.filter
def word(text: str) -> str:
    return words.word_text(str(text))


@register.filter
def kind_title(kind: str) -> str:
    return words.KIND_TITLES.get(kind, words.word_text(kind).capitalize())


@register.filter
def step_title(name: str) -> str:
    return words.STEP_TITLES.get(name, words.word_text(name).capitalize())


@register.filter
def component_icon(kind: str) -> str:
    return words.COMPONENT_ICONS.get(kind, "package")


@register.filter
def target_name(key: str) -> str:
    offered = targets_offered()
    return offered[key].name if key in offered else key


@register.filter
def person(actor: str) -> str:
    """`user:ada@example.com` as `ada@example.com`; keys and workers keep their kind."""
    return actor.removeprefix("user:")


@register.filter
def lookup(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key, "")
