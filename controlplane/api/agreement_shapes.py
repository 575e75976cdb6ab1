"""The shapes of agreements and rate cards as the OpenAPI document shows them. Documentation only, like shapes.py."""

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.serializers import CharField, DateTimeField, IntegerField

from controlplane.api.money_shapes import PERIOD
from controlplane.api.shapes import AnyField, Shape


class RateCardVersionShape(Shape):
    """`body` is the card: base fee, fees, prices, discounts, commitments; `sha256` is of its canonical JSON."""

    key = CharField()
    version = IntegerField()
    currency = CharField()
    effective_from = DateTimeField()
    recorded_at = DateTimeField()
    sha256 = CharField()
    body = serializers.DictField(child=AnyField())


#: `from` is a keyword of Python, so this cannot be a class.
PHASE: dict[str, Any] = {
    "from": DateTimeField(),
    "to": DateTimeField(allow_null=True),
    "plan": CharField(),
    "rate_card": CharField(),
    "version": IntegerField(allow_null=True, help_text="null: the version in force"),
    "overrides": serializers.DictField(child=AnyField()),
    "trial_until": DateTimeField(allow_null=True),
    "recorded_at": DateTimeField(),
    "recorded_by": CharField(),
    "reason": CharField(allow_blank=True),
}


class AgreementShape(Shape):
    """`phases` in the order of time, past ones too."""

    tenant = CharField()
    currency = CharField()
    starts_at = DateTimeField()
    phases = inline_serializer("AgreementPhase", fields=PHASE, many=True)


class RerateLineShape(Shape):
    """`before` or `after` is null where there is no such line."""

    key = CharField()
    description = CharField()
    before = CharField(allow_null=True)
    after = CharField(allow_null=True)
    difference = CharField()


class RerateShape(Shape):
    period = inline_serializer("ReratePeriod", fields=PERIOD)
    as_of = DateTimeField()
    currency = CharField()
    lines = RerateLineShape(many=True)
    total_before = CharField()
    total_after = CharField()
    difference = CharField()
