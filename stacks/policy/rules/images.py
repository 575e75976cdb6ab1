"""What runs is what was reviewed: images are named by digest."""

import re
from collections.abc import Iterator

from stacks.policy.model import Planned, Violation, rule
from stacks.reading import containers, is_unknown

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@rule("images-by-digest", "deny")
def images_by_digest(plan: Planned) -> Iterator[Violation]:
    """Every container image ends in `@sha256:...`: a tag can be moved to another image."""
    for resource in plan.wanted("kubernetes:"):
        for container in containers(resource.after or {}):
            image = container.get("image")
            if is_unknown(image):
                message = f"the image of {container.get('name')} is known after the apply"
                yield Violation(resource, message, undecided=True)
            elif not _DIGEST.search(str(image)):
                yield Violation(
                    resource, f"container {container.get('name')} runs {image}, which names no digest"
                )
