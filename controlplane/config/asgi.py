import gc
import os

from django.core.asgi import get_asgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.config.settings")

application = get_asgi_application()
# Every page is loaded before the first request, and what is loaded then lives as long as the process: the collector
# need not walk it again, which took a tenth of a second whenever a page had read some thousand rows.
get_resolver().url_patterns  # noqa: B018 - read for what it loads
gc.collect()
gc.freeze()
