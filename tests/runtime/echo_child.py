"""A child of the tests: answers each message, and does what some of them say."""

import os
import signal
import sys
import time

from pkd_core.runtime.children import Parent

if __name__ == "__main__":
    parent = Parent()
    name = parent.receive()
    sys.stdout.write("this is no message\n")
    sys.stdout.flush()
    parent.send([name, "is here", os.getpid()])
    while True:
        match parent.receive():
            case "fail":
                sys.stderr.write(f"{name} fails\n")
                sys.exit(3)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait for stop":
                parent.is_stopping.wait()
                parent.send("stopping")
            case "sleep":
                time.sleep(600)
            case message:
                parent.send(message)
