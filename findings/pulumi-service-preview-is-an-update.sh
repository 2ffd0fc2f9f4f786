#!/bin/sh
# Pulumi CLI 3.259.0, against a service of its own protocol.
#
# Surprise: the protocol has a route for previews, `POST …/preview`, but the preview that `up`,
# `refresh` and `destroy` make before they ask does not go there. It is announced by the same route
# as the change itself, `POST …/destroy`, started with the same request, and reported as completed
# and "succeeded". Only `options.dryRun` in the announcement tells the two apart. A service that goes
# by the route keeps an update in its history that never was, and, if it holds a lease per update,
# gives the stack back between the preview and the change.
#
# What follows: remember `dryRun` with the id that the announcement is answered with.
#
# Seen: POST destroy dryRun=true, complete succeeded, POST destroy dryRun=false, complete succeeded

set -eu

for pulumi in "${PULUMI:-}" "$(command -v pulumi || true)" \
    "${XDG_CACHE_HOME:-$HOME/.cache}/tenantplane/pulumi/3.259.0/pulumi" ""; do
    if [ -x "$pulumi" ] && [ "$("$pulumi" version 2>/dev/null)" = v3.259.0 ]; then break; fi
done
if [ -z "$pulumi" ]; then
    echo "missing: the Pulumi CLI 3.259.0. Put it on PATH or name it in PULUMI." >&2
    exit 2
fi
command -v python3 >/dev/null || { echo "missing: Python 3." >&2; exit 2; }
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/project"

cat >"$work/service.py" <<'PY'
import gzip, json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EMPTY = {"manifest": {"time": "0001-01-01T00:00:00Z", "magic": "", "version": ""}}
said = open(sys.argv[1] + "/said", "w", buffering=1)

class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        parts = self.path.partition("?")[0].strip("/").split("/")[1:]
        found = {}
        if parts == ["user"]:
            found = {"githubLogin": "demo", "organizations": []}
        elif parts[-1] == "export":
            found = {"version": 3, "deployment": EMPTY}
        elif parts[0] == "stacks" and len(parts) == 4:
            found = {"orgName": "demo", "projectName": "demo", "stackName": "dev", "version": 1}
        elif parts[-1] == "encrypt":  # which begins with a question of its own
            found = {"ciphertext": json.loads(body)["plaintext"]}
        elif parts[0] == "stacks" and self.command == "POST" and len(parts) == 5:
            found = {"updateID": "one"}
            options = json.loads(body).get("options", {})
            print(f"POST {parts[-1]} dryRun={str(options.get('dryRun')).lower()}", file=said)
        elif parts[0] == "stacks" and self.command == "POST" and len(parts) == 6:
            found = {"version": 1, "token": "lease"}
        elif parts[-1] == "complete":
            print("complete " + json.loads(body)["status"], file=said)
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PATCH = answer

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
open(sys.argv[1] + "/port", "w").write(str(server.server_port))
server.serve_forever()
PY
python3 "$work/service.py" "$work" &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -s "$work/port" ] && break; sleep 0.3; done

cd "$work/project"
printf 'name: demo\nruntime: python\n' >Pulumi.yaml
env -i HOME="$work" TMPDIR="$work" PATH="$PATH" PULUMI_SKIP_UPDATE_CHECK=true \
    PULUMI_BACKEND_URL="http://127.0.0.1:$(cat "$work/port")" PULUMI_ACCESS_TOKEN=demo \
    "$pulumi" --non-interactive destroy --yes --stack demo/demo/dev >"$work/out" 2>&1 ||
    { cat "$work/out"; echo "changed: expected that the command succeeds"; exit 1; }
cat "$work/said"
expected='POST destroy dryRun=true
complete succeeded
POST destroy dryRun=false
complete succeeded'
[ "$(cat "$work/said")" = "$expected" ] ||
    { echo "changed: expected the preview as an update of its own"; exit 1; }
echo "as described"
