"""Processes are gone when nothing of them holds a port any more."""

import subprocess
import sys

import psutil

from serve.ports import HOST, free_port, require_free
from serve.supervisor import _is_gone, end
from tests.conftest import wait_until

# Its first thread ends, which makes it a zombie to look at; another one goes on and has the port.
HALF_ENDED = """
import ctypes, os, platform, socket, sys, threading, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
threading.Thread(target=time.sleep, args=(60,)).start()
exit_of_a_thread = {"x86_64": 60, "aarch64": 93}[platform.machine()]
ctypes.CDLL(None).syscall(exit_of_a_thread, 0)
"""


def test_a_process_whose_other_threads_go_on_is_waited_for():
    port = free_port()
    child = subprocess.Popen([sys.executable, "-c", HALF_ENDED, HOST, str(port)])
    process = psutil.Process(child.pid)
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert not _is_gone(process)
    end([process])
    assert _is_gone(process)
    require_free("test", port, "PORT")
    child.wait()
