"""What is temporary is removed, also after ``kill -9``, and what is written is whole."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from citrus_sk._utils.files import write_atomically
from citrus_sk._utils.temporary import OwnedFolder, is_temporary, remove_abandoned

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no locks on Windows")


def killed(code, *arguments):
    """Run code, in which ``die()`` is ``kill -9``."""
    die = "import os, signal, sys\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", die + code, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


FOLDER = """
from pathlib import Path
from citrus_sk._utils.temporary import OwnedFolder
folder = OwnedFolder("corpus-", Path(sys.argv[1]))
(folder.path / "values").write_bytes(bytes(1000))
die()
"""


def test_a_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_stays(tmp_path):
    killed(FOLDER, tmp_path)
    (abandoned,) = tmp_path.iterdir()
    with OwnedFolder("corpus-", tmp_path) as living:
        remove_abandoned("other-", tmp_path)
        assert abandoned.exists()
        remove_abandoned("corpus-", tmp_path)
        assert list(tmp_path.iterdir()) == [living.path]
    assert not list(tmp_path.iterdir())


def test_a_link_with_such_a_name_is_not_followed(tmp_path):
    killed(FOLDER, tmp_path)
    (abandoned,) = tmp_path.iterdir()
    aside = abandoned.rename(tmp_path / "aside")
    abandoned.symlink_to(aside)
    remove_abandoned("corpus-", tmp_path)
    assert (aside / "values").exists()


FORK = FOLDER.replace(
    "die()",
    """
child = os.fork()
if not child:
    folder.close()
    os._exit(0)
os.waitpid(child, 0)
die()
""",
)


def test_a_fork_does_not_remove_the_folder_of_its_parent(tmp_path):
    killed(FORK, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


KILLED_WHILE_WRITING = """
from pathlib import Path
from citrus_sk._utils.files import write_atomically
def listen(event, arguments):
    if event == "os.rename":
        die()
sys.addaudithook(listen)
write_atomically(Path(sys.argv[1]), b"new" * 9999)
"""


def test_a_write_that_was_killed_leaves_the_old_file_and_the_next_write_nothing_else(tmp_path):
    path = tmp_path / "model.joblib"
    path.write_bytes(b"old")
    killed(KILLED_WHILE_WRITING, path)
    killed(KILLED_WHILE_WRITING, path)
    assert path.read_bytes() == b"old"
    assert [is_temporary(file) for file in sorted(tmp_path.iterdir())] == [True, False]
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_write_one_file_leave_one_of_their_values(tmp_path):
    path, values = tmp_path / "a.csv", [bytes([i]) * 200_000 for i in range(8)]
    threads = [
        threading.Thread(target=lambda v=value: [write_atomically(path, v) for _ in range(5)])
        for value in values
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in values
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    path.write_bytes(b"old")

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"scores.csv could not be written and is unchanged: No space"
    ):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_target_of_a_link_is_written_and_a_pipe_is_not_replaced(tmp_path):
    path, link, pipe = tmp_path / "disk.csv", tmp_path / "link.csv", tmp_path / "pipe"
    path.write_bytes(b"old")
    link.symlink_to(path)
    write_atomically(link, b"new")
    assert path.read_bytes() == b"new"
    assert link.is_symlink()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert pipe.is_fifo()
