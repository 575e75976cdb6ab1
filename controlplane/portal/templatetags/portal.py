"""Tags and filters of the portal's templates. They show; they decide nothing."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext

from controlplane.core import clock
from controlplane.portal import figures, scripts, words
from controlplane.portal.spoken import spoken
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
        words.word_text(axis),
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
    return figures.numeral(f"{Decimal(text) * 100:.2f} %")


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
    return _time(local, f"{figures.day_text(local)}, {local:%H:%M:%S %Z}")


@register.filter
def day(moment: datetime | str | None) -> SafeString | str:
    if moment is None:
        return "-"
    local = _local(moment)
    return _time(local, figures.day_text(local))


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
    return _time(fixed, figures.day_text(fixed))


@register.filter
def utc_date(moment: datetime, form: str) -> str:
    """The like of it in a form of its own, such as `M Y` for a month."""
    # Without its zone nobody moves it to the viewer's.
    return date_format(moment.astimezone(UTC).replace(tzinfo=None), form)


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
    said = gettext("Copy %(what)s") % {"what": what}
    return format_html(
        '<button class="copy" type="button" data-copy="{}" aria-label="{}" title="{}">{}{}</button>',
        text,
        said,
        said,
        icon("copy", "todo"),
        icon("check", "done"),
    )


@register.simple_tag
def cli(command: str) -> SafeString:
    """The same thing on the command line, to copy."""
    return format_html(
        '<div class="code line"><pre tabindex="0" aria-label="{}"><span class="prompt">$ </span>{}</pre>{}</div>',
        gettext("Command"),
        command,
        copy_button(command, gettext("command")),
    )


@register.simple_tag
def script_words() -> SafeString | str:
    """The attribute that tells scripts what to say; nothing in English, which they speak by themselves."""
    words_of_scripts = scripts.script_words()
    return format_html(' data-words="{}"', words_of_scripts) if words_of_scripts else ""


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
def said(text: str) -> str:
    """A sentence of another room (spoken.py has them) in the page's language; any other text stays as it is."""
    return spoken(text)


@register.filter
def units(unit: str, number: object = None) -> str:
    """`token` as `tokens`, unless there is one of them."""
    if not unit or (number is not None and figures.quantity_text(number) == "1"):
        return words.word_text(unit)
    return pgettext("word", f"{unit.replace('_', ' ')}s")


@register.filter
def month(period: str) -> str:
    """`2026-11` as `Nov 2026`; what is no month stays as it is."""
    try:
        return figures.month_text(date.fromisoformat(f"{period}-01"))
    except ValueError:
        return period


@register.filter
def dated(moment: datetime | str, form: str = "") -> str:
    """`2 Nov 2026`, or `2 Nov` as `short`."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return figures.day_month_text(moment) if form == "short" else figures.dated_text(moment)


@register.filter
def numeral(text: object) -> str:
    """What another filter wrote, with the comma and the point of the page's language."""
    return figures.numeral(str(text))


@register.filter
def kind_title(kind: str) -> str:
    return words.kind_text(kind)


@register.filter
def step_title(name: str) -> str:
    return words.step_text(name)


@register.filter
def component_icon(kind: str) -> str:
    return words.COMPONENT_ICONS.get(kind, "package")


@register.filter
def target_name(key: str) -> str:
    offered = targets_offered()
    return spoken(offered[key].name) if key in offered else key


@register.filter
def person(actor: str) -> str:
    """`user:ada@example.com` as `ada@example.com`; keys and workers keep their kind."""
    return actor.removeprefix("user:")


@register.filter
def lookup(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key, "")
