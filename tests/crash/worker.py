"""A worker process that a crash test can kill: the product's own tasks, in a loop, without Celery between.

`python -m tests.crash.worker [--plant BUG]`; a planted bug shows that the suite would see it (plants.py).
"""

import argparse
import threading
import time

import django


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plant")
    arguments = parser.parse_args()
    django.setup()

    from django.db import connections

    # Without a pool a broken connection is one that is opened anew.
    connections["default"].settings_dict["OPTIONS"].pop("pool", None)

    from controlplane.operations.tasks import operations_sweep_task, operations_work_task
    from tests.crash.plants import plant

    if arguments.plant:
        plant(arguments.plant)

    def repeat(task: object) -> None:
        while True:
            try:
                task()  # type: ignore[operator]
            except Exception as error:  # as Celery does: the next doorbell tries again
                print(f"{type(error).__name__}: {error}", flush=True)
                connections.close_all()
            time.sleep(0.2)

    for _ in range(2):
        threading.Thread(target=repeat, args=(operations_work_task,), daemon=True).start()
    repeat(operations_sweep_task)


if __name__ == "__main__":
    main()
