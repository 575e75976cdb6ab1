"""The Celery application. Celery only wakes; every task takes ids and asks Postgres what is true."""

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.config.settings")

app = Celery("freehold")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    [
        "controlplane.api",
        "controlplane.core",
        "controlplane.operations",
        "controlplane.tenants",
        "billing",
        "billing.budgets",
        "billing.invoicing",
        "billing.reports",
    ]
)

#: Everything that runs by the clock, in one reviewable list.
app.conf.beat_schedule = {
    "operations-sweep": {"task": "controlplane.operations.tasks.operations_sweep_task", "schedule": 5.0},
    "tenants-health": {"task": "controlplane.tenants.tasks.tenants_health_task", "schedule": 30.0},
    "outbox-deliver": {"task": "controlplane.core.tasks.outbox_deliver_task", "schedule": 10.0},
    "tenants-standings": {"task": "controlplane.tenants.tasks.standings_task", "schedule": 10.0},
    "budgets-evaluate": {"task": "billing.budgets.tasks.budgets_evaluate_task", "schedule": 60.0},
    "reports-write": {"task": "billing.reports.tasks.reports_write_task", "schedule": 300.0},
    "encryption-renew": {"task": "controlplane.core.tasks.encryption_renew_task", "schedule": 3600.0},
    "operation-logs": {"task": "controlplane.operations.tasks.operation_logs_task", "schedule": 3600.0},
    "tenants-snapshots": {"task": "controlplane.tenants.tasks.snapshots_task", "schedule": 600.0},
    "tenants-health-history": {"task": "controlplane.tenants.tasks.health_history_task", "schedule": 86400.0},
    "tenants-bulk-requests": {"task": "controlplane.tenants.tasks.bulk_requests_task", "schedule": 3600.0},
    "api-idempotency": {"task": "controlplane.api.tasks.idempotency_task", "schedule": 3600.0},
    "usage-spans-reap": {"task": "billing.tasks.spans_reap_task", "schedule": 3600.0},
    "period-closes": {"task": "billing.invoicing.tasks.period_closes_task", "schedule": 3600.0},
    "usage-partitions": {"task": "billing.tasks.usage_partitions_task", "schedule": 3600.0},
    # By the day: hourly, so that a scheduler that stood still makes up for it; a day that was posted stays.
    "billing-accrual": {"task": "billing.tasks.revenue_accrual_task", "schedule": crontab(minute="10")},
    "billing-credits": {"task": "billing.tasks.credits_expiry_task", "schedule": crontab(minute="20")},
    "billing-costs": {"task": "billing.tasks.costs_task", "schedule": crontab(minute="30", hour="*/6")},
    "billing-gpu-months": {"task": "billing.tasks.gpu_months_task", "schedule": crontab(minute="40")},
}
