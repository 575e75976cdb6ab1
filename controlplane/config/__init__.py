"""Settings, paths and the Celery application. Loading it binds shared tasks to our broker, in every process."""

from controlplane.config.celery import app as celery_app

__all__ = ["celery_app"]
