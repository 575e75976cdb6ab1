"""Tags and filters of the portal's templates. They show; they decide nothing."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.dateformat import format as date_format
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
    if moment is None:
        return "-"
    local = _local(moment)
    text = figures.relative_text(local, clock.now())
    return _time(local, text, relative=True)


@register.filter
def stamp(moment: datetime | str) -> SafeString:
    """`22 Nov 2026, 13:54:22 UTC`: for figures that are true as of a moment and may be compared."""
    local = _local(moment)
    return _time(local, f"{local:%d %b %Y, %H:%M:%S %Z}")


@register.filter
def day(moment: datetime | str | None) -> SafeString | str:
    if moment is None:
        return "-"
    local = _local(moment)
    return _time(local, f"{local:%d %b %Y}")


@register.filter
def time_of_day(moment: datetime) -> SafeString:
    """For the lines of a log, whose day is told elsewhere."""
    local = _local(moment)
    return _time(local, f"{local:%H:%M:%S}")


@register.filter
def utc_day(moment: datetime | str | None) -> SafeString | str:
    """A day of a period, an invoice or a budget: theirs are of UTC, whoever looks."""
    if moment is None:
        return "-"
    fixed = _local(moment).astimezone(UTC)
    return _time(fixed, f"{fixed:%d %b %Y}")


@register.filter
def utc_date(moment: datetime, form: str) -> str:
    """The like of it in a form of its own, such as `M Y` for a month."""
    return date_format(moment.astimezone(UTC), form)


@register.simple_tag
def zone_name() -> str:
    """The zone that this page's times are in."""
    return timezone.get_current_timezone_name()


def _local(moment: datetime | str) -> datetime:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return timezone.localtime(moment)


def _time(local: datetime, text: str, *, relative: bool = False) -> SafeString:
    """On hover the exact time, in UTC too: that is what logs, exports and colleagues elsewhere say."""
    exact = f"{local.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if local.utcoffset():
        exact = f"{local:%Y-%m-%d %H:%M:%S %Z}, {exact}"
    kept = SafeString(" data-relative") if relative else ""
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>', clock.moment_text(local), exact, kept, text
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
