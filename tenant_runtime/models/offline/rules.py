"""`offline-rules-1`: what the rules answer. Deterministic, extractive, and it says so when it does not know.

Three shapes of answer, chosen by what the request asks for:
1. `response_format` json_schema -> an object of that schema: texts get the question's key terms, and of several
   values, or of yes and no, the one whose description shares most words with what was given;
2. `tools` and something a tool can be called with -> one tool call;
3. otherwise -> the sentences of the given sources that share most with the question, quoted and cited.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from tenant_runtime.models.offline.sources import Source, sources_parse, sources_strip
from tenant_runtime.models.offline.words import message_text, sentences, terms

UNKNOWN: Final = "I do not know: nothing in the documents I was given answers this question."
#: Share of the question's weighted terms that a quoted sentence must contain.
_MIN_COVERAGE: Final = 0.34
_MAX_QUOTES: Final = 3
_BORROWED: Final = 0.4
_ARITHMETIC: Final = re.compile(
    r"\(*\s*-?\d+(?:\.\d+)?\s*\)*(?:\s*(?:\*\*|[-+*/%^x\u00d7])\s*\(*\s*-?\d+(?:\.\d+)?\s*\)*)+"
)


@dataclass(frozen=True)
class Reply:
    """Either `text` or one tool call."""

    text: str | None = None
    tool_name: str | None = None
    tool_arguments: str = "{}"


@dataclass(frozen=True)
class Conversation:
    """What the rules look at: the last question, everything given as a source, results of tools so far."""

    question: str
    earlier: str
    sources: list[Source]
    tool_results: list[tuple[str, str]]


def conversation_read(messages: list[dict[str, Any]]) -> Conversation:
    questions: list[str] = []
    sources: dict[int, Source] = {}
    results: list[tuple[str, str]] = []
    names: dict[str, str] = {}
    for message in messages:
        text = message_text(message.get("content"))
        role = message.get("role")
        for source in sources_parse(text):
            sources[source.number] = source
        if role == "user" and sources_strip(text):
            questions.append(sources_strip(text))
            results = []
        elif role == "assistant":
            for call in message.get("tool_calls") or []:
                names[call.get("id", "")] = call.get("function", {}).get("name", "tool")
        elif role == "tool":
            results.append((names.get(message.get("tool_call_id", ""), "tool"), sources_strip(text)))
    question = questions[-1] if questions else ""
    earlier = questions[-2] if len(questions) > 1 else ""
    return Conversation(question, earlier, list(sources.values()), results)


def question_terms(conversation: Conversation) -> dict[str, float]:
    """Terms asked for and what each counts; a question with hardly any of its own ("and the other?") borrows
    from the one before, at a lower rate."""
    asked = dict.fromkeys(terms(conversation.question), 1.0)
    if len(asked) < 2:
        for term in terms(conversation.earlier):
            asked.setdefault(term, _BORROWED)
    return asked


def arithmetic_find(text: str) -> str | None:
    """The longest arithmetic expression in the text, with other signs for times and power written as Python does."""
    found = [match.group(0).strip() for match in _ARITHMETIC.finditer(text)]
    usable = [item for item in found if item.count("(") == item.count(")") and not _is_date(item)]
    if not usable:
        return None
    return max(usable, key=len).replace("\u00d7", "*").replace("x", "*").replace("^", "**")


def _is_date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}|\d+-\d+", text.strip()) is not None


def reply(
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    response_format: dict[str, Any] | None = None,
    tool_choice: Any = "auto",
) -> Reply:
    conversation = conversation_read(messages)
    if response_format and response_format.get("type") == "json_schema":
        schema = response_format.get("json_schema", {}).get("schema", {})
        return Reply(text=json.dumps(_object_fill(schema, conversation), ensure_ascii=False))
    if tools and tool_choice != "none" and not conversation.tool_results:
        call = _tool_choose(tools, conversation)
        if call is not None:
            return call
    return Reply(text=_answer_compose(conversation))


def _object_fill(schema: dict[str, Any], conversation: Conversation) -> Any:
    """A value of the schema: strings get the key terms, lists of strings the work to do, booleans what holds."""
    kind = schema.get("type")
    if kind == "object":
        return {
            name: _property_fill(name, part, conversation)
            for name, part in schema.get("properties", {}).items()
        }
    if kind == "array":
        return []
    if kind == "boolean":
        return False
    if kind in ("integer", "number"):
        return 0
    return " ".join(question_terms(conversation))


def _property_fill(name: str, schema: dict[str, Any], conversation: Conversation) -> Any:
    sum_ = arithmetic_find(conversation.question)
    if schema.get("type") == "boolean":
        said = set(terms(schema.get("description", "")))
        return (sum_ is not None and "calc" in name) or bool(said & _given_terms(conversation))
    if schema.get("type") == "array":
        keys = ", ".join(question_terms(conversation)) or "the question"
        steps = [f"search long-term memory for: {keys}"]
        steps.append(f"calculate {sum_}" if sum_ else "read more of the best source")
        return [*steps, "answer with quotations and their sources"]
    if schema.get("type") == "string" and schema.get("enum"):
        return _enum_choose(schema, conversation)
    return _object_fill(schema, conversation)


def _given_terms(conversation: Conversation) -> set[str]:
    """The words of the sources; those of the question when there are no sources."""
    texts = [f"{source.title} {source.text}" for source in conversation.sources] or [conversation.question]
    return {term for text in texts for term in terms(text)}


def _enum_choose(schema: dict[str, Any], conversation: Conversation) -> Any:
    """The value that shares most words with what was given, by its name and by `value: words;` in the description.
    None shares any: `other` if that is a value, else the first."""
    about = {str(value): set(terms(str(value))) for value in schema["enum"]}
    for part in str(schema.get("description", "")).split(";"):
        value, _, told = part.partition(":")
        if value.strip() in about:
            about[value.strip()] |= set(terms(told))
    given = _given_terms(conversation)
    shared, choice = max(
        ((len(about[str(value)] & given), -place) for place, value in enumerate(schema["enum"])),
        default=(0, 0),
    )
    if not shared:
        return "other" if "other" in schema["enum"] else schema["enum"][0]
    return schema["enum"][-choice]


def _tool_choose(tools: list[dict[str, Any]], conversation: Conversation) -> Reply | None:
    """The tool whose required arguments the conversation can fill, and whose description fits it best."""
    asked = set(question_terms(conversation))
    best: tuple[float, str, dict[str, Any]] | None = None
    for tool in tools:
        function = tool.get("function", {})
        parameters = function.get("parameters", {})
        arguments = _arguments_fill(parameters, conversation)
        if arguments is None:
            continue
        about = set(terms(f"{function.get('name', '').replace('_', ' ')} {function.get('description', '')}"))
        score = len(asked & about) + (10.0 if "expression" in arguments else 0.0)
        # Equal scores: the tool that can be told more precisely what to do wins, then the first named.
        score += 0.1 * len(arguments)
        if best is None or score > best[0]:
            best = (score, function["name"], arguments)
    if best is None:
        return None
    return Reply(tool_name=best[1], tool_arguments=json.dumps(best[2]))


def _arguments_fill(parameters: dict[str, Any], conversation: Conversation) -> dict[str, Any] | None:
    """Arguments for a tool, or None when a required one cannot be told from the conversation."""
    best = sources_rank(conversation)
    known: dict[str, Any] = {}
    expression = arithmetic_find(conversation.question)
    if expression is not None:
        known["expression"] = expression
    if best:
        known["path"] = best[0].path
        known["find"] = " ".join(question_terms(conversation))
    if question_terms(conversation):
        known["query"] = " ".join(question_terms(conversation))
    wanted = parameters.get("properties", {})
    if any(name not in known for name in parameters.get("required", [])):
        return None
    chosen = {name: known[name] for name in wanted if name in known}
    return chosen or (None if wanted else {})


def _weights(asked: dict[str, float], texts: list[list[str]]) -> dict[str, float]:
    """Rarer among the given sentences = heavier; a term no sentence has is heaviest of all."""
    seen = Counter(term for text in texts for term in set(text))
    return {term: rate * math.log(1 + (len(texts) + 1) / (seen[term] + 0.5)) for term, rate in asked.items()}


def sources_rank(conversation: Conversation) -> list[Source]:
    """Sources that share a term with the question, best first."""
    asked = question_terms(conversation)
    bags = [terms(f"{source.title} {source.text}") for source in conversation.sources]
    weights = _weights(asked, bags)
    scored = [
        (sum(weights[term] for term in asked if term in set(bag)), -position)
        for position, bag in enumerate(bags)
    ]
    order = sorted((item for item in scored if item[0] > 0), reverse=True)
    return [conversation.sources[-position] for _, position in order]


def _answer_compose(conversation: Conversation) -> str:
    """Calculated results first, then the best sentences with [n]; UNKNOWN when neither exists."""
    parts = [f"{result}." for name, result in conversation.tool_results if name.startswith("calc") and result]
    quotes = _quotes_pick(conversation)
    if quotes:
        parts.append(
            "According to the documents: " + " ".join(f'"{text}" [{number}]' for text, number in quotes)
        )
    return " ".join(parts) or UNKNOWN


def _quotes_pick(conversation: Conversation) -> list[tuple[str, int]]:
    """At most _MAX_QUOTES (sentence, source number), each adding a term the earlier ones lack."""
    asked = question_terms(conversation)
    if not asked:
        return []
    rows: list[tuple[str, set[str], set[str], int]] = []
    seen: set[str] = set()
    for source in conversation.sources:
        heading = set(terms(source.title))
        for sentence in sentences(source.text):
            if sentence not in seen and 3 <= len(sentence.split()) <= 80:
                seen.add(sentence)
                rows.append((sentence, set(terms(sentence)), heading, source.number))
    weights = _weights(asked, [sorted(row[1]) for row in rows])
    total = sum(weights.values())
    scored = []
    for position, (_, bag, heading, _) in enumerate(rows):
        own = sum(weights[term] for term in asked if term in bag)
        # What the title says need not be repeated in the sentence, but counts for less.
        lent = 0.5 * sum(weights[term] for term in asked if term in heading and term not in bag)
        if own > 0 and (own + lent) / total >= _MIN_COVERAGE:
            scored.append(((own + lent) / total, own / (4 + len(bag)), -position))
    picked: list[tuple[str, int]] = []
    covered: set[str] = set()
    best = max((item[0] for item in scored), default=0.0)
    for score, _, minus_position in sorted(scored, reverse=True):
        sentence, bag, _, number = rows[-minus_position]
        fresh = {term for term in asked if term in bag} - covered
        if len(picked) == _MAX_QUOTES or (picked and (not fresh or score < 0.6 * best)):
            continue
        covered |= fresh
        picked.append((sentence, number))
    return picked
