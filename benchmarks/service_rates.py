"""What running servers stand: points per second that MLflow accepts, and tasks per second that Prefect keeps.

`python -m benchmarks.service_rates mlflow URL` and `python -m benchmarks.service_rates prefect URL` print a line for
each number of clients. Clients and servers share this machine's cores, so a figure is less than what the server does
alone.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

# What a distilled training logs: 20 steps at a time, each with three losses, their sum and the learning rate.
_STEPS, _NAMES = 20, ("total", "hard", "soft", "patience", "learning_rate")
_TASKS = 60

# Does some requests, and returns how many things they made and the seconds that they took.
Client = Callable[[str, Callable[[], object], float], tuple[int, float]]


def log_points(url: str, wait: Callable[[], object], seconds: float) -> tuple[int, float]:
    """Log metrics into a run of an MLflow server for some seconds; return the number of points and the time."""
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient(url)
    run = client.create_run("0").info.run_id
    wait()
    begin, step = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        now = int(time.time() * 1000)
        steps = range(step, step + _STEPS)
        client.log_batch(run, [Metric(name, 0.5, now, one) for one in steps for name in _NAMES])
        step += _STEPS
    return step * len(_NAMES), time.monotonic() - begin


def run_tasks(url: str, wait: Callable[[], object], _seconds: float) -> tuple[int, float]:
    """Run a flow of tasks that do nothing on a Prefect server; return their number and the time."""
    os.environ |= {"PREFECT_API_URL": url, "PREFECT_LOGGING_LEVEL": "ERROR"}
    from prefect import flow, task

    @task(persist_result=False)
    def nothing(number: int) -> int:
        return number

    @flow
    def tasks(count: int) -> None:
        futures = [nothing.submit(number) for number in range(count)]
        for future in futures:
            future.wait()

    tasks(1)
    wait()
    begin = time.monotonic()
    tasks(_TASKS)
    return _TASKS, time.monotonic() - begin


def rate(client: Client, url: str, num_clients: int, seconds: float) -> float:
    """Return how much some clients, each in its own process, do in a second together."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(num_clients)
    answers: SimpleQueue[tuple[int, float]] = spawn.SimpleQueue()
    processes = [
        spawn.Process(target=_answer, args=(client, url, seconds, barrier, answers))
        for _ in range(num_clients)
    ]
    for process in processes:
        process.start()
    figures = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(count for count, _ in figures) / max(elapsed for _, elapsed in figures)


def _answer(
    client: Client, url: str, seconds: float, barrier: Barrier, answers: "SimpleQueue[tuple[int, float]]"
) -> None:
    answers.put(client(url, barrier.wait, seconds))


def main() -> None:
    """Measure the server that is named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service_rates", description=__doc__)
    parser.add_argument("server", choices=["mlflow", "prefect"])
    parser.add_argument("url", help="its address; of Prefect, that of the API")
    parser.add_argument("--clients", default="1,2,4,8", help="numbers of clients, between commas")
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds that MLflow's clients log")
    asked = parser.parse_args()
    client, unit = (log_points, "points/s") if asked.server == "mlflow" else (run_tasks, "tasks/s")
    for number in map(int, asked.clients.split(",")):
        print(f"{number} clients: {rate(client, asked.url, number, asked.seconds):.1f} {unit}", flush=True)


if __name__ == "__main__":
    main()
