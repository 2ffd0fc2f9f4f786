# fmt: off - an auditor reads this file from end to end, so it is kept short
"""Check every decision of a log against the keys of approvers: standard library alone.

``is_signed(key, message, signature)`` verifies Ed25519. ``pinned`` are lines of `name ... ssh-ed25519
key`, which the auditor has from the approvers themselves. Entries are event bodies, in order. A key
that is not pinned counts from a confirmation that a key which counts signed, until it is revoked.
"""
import base64, hashlib, json, re, struct

FORMS = {"approval@tenantplane": "tenantplane/decision/1",
         "approver-key@tenantplane": "tenantplane/approver-key/1"}
BROKEN = (ValueError, LookupError, TypeError, AttributeError, struct.error)

class Wrong(ValueError):
    """What is wrong, in words."""
def need(is_so, otherwise):
    if not is_so:
        raise Wrong(otherwise)

def fingerprint(public):
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")

def strings(blob, count):
    found = []
    for _ in range(count):
        size, = struct.unpack(">I", blob[:4])
        need(size <= len(blob) - 4, "its signature is cut off")
        found, blob = [*found, blob[4:4 + size]], blob[4 + size:]
    need(not blob, "its signature is followed by something else")
    return found

def signed_by(data, namespace, is_signed):
    """Return the fingerprint of the key that signed data["statement"], and what that says."""
    blob, text = base64.b64decode(data["signature"], validate=True), data["statement"]
    need(blob[:10] == b"SSHSIG\0\0\0\1", "its signature has another kind")
    public, given, reserved, hashed, signed = strings(blob[10:], 5)
    (kind, key), (kind_too, value) = strings(public, 2), strings(signed, 2)
    need((kind, kind_too, given, reserved, hashed) == (b"ssh-ed25519", b"ssh-ed25519",
         namespace.encode(), b"", b"sha512"), "its signature has another kind")
    parts = given, b"", hashed, hashlib.sha512(text.encode()).digest()
    message = b"SSHSIG" + b"".join(struct.pack(">I", len(each)) + each for each in parts)
    need(is_signed(key, message, value), "its signature does not verify")
    said = json.loads(text)
    need(json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")) == text
         and said["form"] == FORMS[namespace], "its statement has another form")
    return fingerprint(public), said

def check_approvers(entries, platform, pinned, is_signed, host, *, required=False):
    """Return [(index, why)] of decisions in `entries` that no approver's key signed, and how many
    were signed well. Unsigned ones are named where the log asked for signatures, or `required`."""
    keys, used, asked, faults, good = {}, set(), {}, [], 0
    for line in pinned:
        found = re.search(r"^(\S+) .*?ssh-ed25519 (\S+)", line)
        if found and not line.startswith("#"):
            keys[fingerprint(base64.b64decode(found[2]))] = [found[1], "", "9"]
    for body in (each for each in platform if each["stage"] == "completed"):
        data, at = body["data"], body["time"]
        try:
            if body["action"] == "approver_key.confirmed":
                by, said = signed_by(data, "approver-key@tenantplane", is_signed)
                kind, text = data["public_key"].split()
                need(said["act"] == "confirm" and said["host"] == host and kind == "ssh-ed25519"
                     and said["by_key"] == by and said["by"] == keys[by][0] != said["actor"]
                     and said["approver_key"] == fingerprint(base64.b64decode(text))
                     and keys[by][1] <= at < keys[by][2], "its confirmation does not count")
                keys.setdefault(said["approver_key"], [said["actor"], at, "9"])
            elif body["action"] == "approver_key.revoked" and data["approver_key"] in keys:
                known = keys[data["approver_key"]]
                known[2] = min(known[2], at)
        except BROKEN:
            continue  # what does not verify makes no key count
    for index, body in entries:
        data, at, given = body["data"], body["time"], body.get("approval", {})
        if body["action"] == "run.approval_requested":
            asked[body["run"]] = data.get("signed", False)
        if body["action"] != "decision.given" or body["stage"] != "completed":
            continue
        try:
            if not required and not asked.get(body["run"]) and "signature" not in data:
                continue
            need("signature" in data, "it is not signed")
            by, said = signed_by(data, "approval@tenantplane", is_signed)
            need(by in keys, "its key is not known")
            actor, since, until = keys[by]
            need(since <= at < until, "its key did not count then")
            need(actor == said["actor"] == body["actor"]["id"] and body["actor"]["type"] == "user"
                 and said["approver_key"] == by, "somebody else signed it")
            ticked = json.dumps(sorted(data["acknowledged"]), ensure_ascii=False, separators=(",", ":"))
            parts = {"plan": 2, "parts": said["parts"]}
            text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
            digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
            need((said["host"], said["tree"], said["run"], said["approval"], said["verdict"]) == (
                 host, body["tenant"], body["run"], given["approval_id"], data["verdict"])
                 and said["plan_digest"] == data["plan_digest"] == given["plan_digest"] == digest
                 and said["acknowledged"] == "sha256:" + hashlib.sha256(ticked.encode()).hexdigest(),
                 "its statement belongs to another decision")
            need(at[:19] + "Z" < said["expires_at"], "its statement had expired")
            need(said["nonce"] not in used, "its statement was used before")
            used.add(said["nonce"])
            good += 1
        except BROKEN as error:
            faults.append((index, str(error) if isinstance(error, Wrong) else "it cannot be read"))
    return faults, good
