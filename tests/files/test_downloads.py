import hashlib
import http.server
import threading

import pytest

from transferkit import files
from transferkit.errors import DownloadError

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        answer = getattr(self, f"send_{self.path.strip('/')}", None)
        if answer is None:
            self.send_error(int(self.path.strip("/")))
        else:
            answer()

    def send_all(self, body, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def send_good(self):
        self.send_all(CONTENT)

    def send_changed(self):
        self.send_all(CONTENT[:-1] + b"?")

    def send_page(self):
        self.send_all(b"\n<!DOCTYPE html><html><body>Log in</body></html>")

    def send_cut(self):
        self.send_all(CONTENT[: len(CONTENT) // 2], length=len(CONTENT))

    def send_cut_without_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])

    def send_redirect(self):
        self.send_response(302)
        self.send_header("Location", "/good")
        self.end_headers()

    def send_loop(self):
        self.send_response(302)
        self.send_header("Location", "/loop")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["good", "redirect"])
def test_download_delivers_the_verified_file(server, tmp_path, name):
    path = tmp_path / "cache" / "x.bin"
    files.download(server.url + name, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ["x.bin"]


def test_md5_is_enough_and_no_hash_is_not(server, tmp_path):
    files.download(f"{server.url}good", tmp_path / "x", md5=hashlib.md5(CONTENT).hexdigest())
    with pytest.raises(DownloadError, match="no known hash"):
        files.download(f"{server.url}good", tmp_path / "y")


def test_present_file_is_not_fetched_again_and_a_damaged_one_is(server, tmp_path):
    path = tmp_path / "x"
    files.download(f"{server.url}good", path, sha256=SHA256)
    files.download(f"{server.url}good", path, sha256=SHA256)
    assert server.requests == ["/good"]
    path.write_bytes(b"damaged")
    files.download(f"{server.url}good", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_file_without_a_known_hash_is_fetched_again_only_if_it_fails_its_check(server, tmp_path):
    def check(path):
        if path.read_bytes() != CONTENT:
            raise ValueError("damaged")

    path = tmp_path / "x"
    path.write_bytes(b"damaged")
    for _ in range(2):
        files.download(f"{server.url}good", path, check=check)
        assert path.read_bytes() == CONTENT
    assert server.requests == ["/good"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("404", "404"),
        ("500", "500"),
        ("page", "a web page"),
        ("cut", "IncompleteRead|does not match|broken"),
        ("cut_without_length", "does not match"),
        ("changed", "does not match"),
        ("loop", "redirects"),
    ],
)
def test_failed_download_says_why_and_leaves_nothing(server, tmp_path, name, message):
    with pytest.raises(DownloadError, match=message) as error:
        files.download(server.url + name, tmp_path / "x.bin", sha256=SHA256)
    assert str(error.value).startswith(f"{server.url}{name}: ")
    assert leftovers(tmp_path) == []


def test_unreachable_server_is_a_download_error(tmp_path):
    with pytest.raises(DownloadError, match="ConnectionError"):
        files.download("http://127.0.0.1:9/x", tmp_path / "x", sha256=SHA256)


def test_offline_switch_forbids_the_network(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERKIT_OFFLINE", "1")
    with pytest.raises(DownloadError, match="TRANSFERKIT_OFFLINE is set"):
        files.download(f"{server.url}good", tmp_path / "x", sha256=SHA256)
    assert server.requests == []


def test_folder_that_cannot_be_made_is_a_download_error(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError):
        files.download(f"{server.url}good", tmp_path / "file" / "x", sha256=SHA256)


def test_read_only_folder_is_a_download_error(server, tmp_path, make_read_only):
    folder = tmp_path / "cache"
    folder.mkdir()
    make_read_only(folder)
    with pytest.raises(DownloadError, match="Error: .*(Read-only|[Pp]ermission)"):
        files.download(f"{server.url}good", folder / "x", sha256=SHA256)
