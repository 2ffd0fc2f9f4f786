# fmt: off - an auditor reads this file from end to end, so it is kept short
"""Check every decision of a log against the keys of approvers: standard library alone.

``is_signed(key, message, signature)`` verifies Ed25519. ``pinned`` are lines of `name ... ssh-ed25519
key`, which the auditor has from the approvers themselves. Entries are event bodies, in order. A key
that is not pinned counts from a confirmation that a key which counts signed, until it is revoked.
"""
import base64, hashlib, json, re, struct

BROKEN = (ValueError, LookupError, TypeError, AttributeError, struct.error)
class Wrong(ValueError):
    """What is wrong, in words."""
def need(is_so, otherwise):
    if not is_so:
        raise Wrong(otherwise)
def encode(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
def digest(value):
    return "sha256:" + hashlib.sha256(encode(value).encode()).hexdigest()
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

def signed_by(data, namespace, form, is_signed):
    """Return the fingerprint of the key that signed data["statement"], and what that says."""
    blob, text = base64.b64decode(data["signature"], validate=True), data["statement"]
    public, *given, signed = strings(blob[10:], 5)
    (kind, key), (kind_too, value) = strings(public, 2), strings(signed, 2)
    need(blob[:10] == b"SSHSIG\0\0\0\1" and kind == kind_too == b"ssh-ed25519" and given == [
        namespace, b"", b"sha512"], "its signature has another kind")
    parts = *given, hashlib.sha512(text.encode()).digest()
    message = b"SSHSIG" + b"".join(struct.pack(">I", len(each)) + each for each in parts)
    need(is_signed(key, message, value), "its signature does not verify")
    said = json.loads(text)
    need(encode(said) == text and said["form"] == form, "its statement has another form")
    return fingerprint(public), said

def known_keys(platform, pinned, is_signed, host):
    """Return [name, from, until] of each key that counts, by its fingerprint."""
    lines = (re.match(r"([^\s#]\S*) (?:.* )?ssh-ed25519 (\S+)", line) for line in pinned)
    keys = {fingerprint(base64.b64decode(line[2])): [line[1], "", "9"] for line in lines if line}
    for data, action, at in ((e["data"], e["action"], e["time"]) for e in platform if e["stage"] == "completed"):
        try:
            if action == "approver_key.confirmed":
                by, said = signed_by(data, b"approver-key@tenantplane", "tenantplane/approver-key/1", is_signed)
                key = fingerprint(base64.b64decode(said["public_key"].removeprefix("ssh-ed25519 ")))
                if (said["act"], said["host"], said["by_key"], said["by"], said["approver_key"]) == (
                        "confirm", host, by, keys[by][0], key) and said["by"] != said["actor"] and (
                        keys[by][1] <= at < keys[by][2]):
                    keys.setdefault(key, [said["actor"], at, "9"])
            elif action == "approver_key.revoked":
                keys[data["approver_key"]][2] = min(keys[data["approver_key"]][2], at)
        except BROKEN:
            continue  # what does not verify makes no key count
    return keys

def check_approvers(entries, platform, pinned, is_signed, host, *, required=False):
    """Return [(index, why)] of decisions in `entries` that no approver's key signed, and how many
    were signed well. Unsigned ones are named where the log asked for signatures, or `required`."""
    keys, used, asked, faults = known_keys(platform, pinned, is_signed, host), set(), {}, []
    for index, body in entries:
        data, at, action = body["data"], body["time"], body["action"]
        if action == "run.approval_requested":
            asked[body["run"]] = data.get("signed", False)
        if (action, body["stage"]) != ("decision.given", "completed") or not (
                required or asked.get(body["run"]) or "signature" in data):
            continue
        try:
            need("signature" in data, "it is not signed")
            by, said = signed_by(data, b"approval@tenantplane", "tenantplane/decision/1", is_signed)
            need(by in keys, "its key is not known")
            need(keys[by][1] <= at < keys[by][2], "its key did not count then")
            need(keys[by][0] == said["actor"] == body["actor"]["id"] and said["approver_key"] == by
                 and body["actor"]["type"] == "user", "somebody else signed it")
            plan = digest({"plan": 2, "parts": said["parts"]})
            need([said[name] for name in "host tree run approval verdict plan_digest acknowledged".split()] == [
                 host, body["tenant"], body["run"], body["approval"]["approval_id"], data["verdict"],
                 plan, digest(sorted(data["acknowledged"]))] and plan == data["plan_digest"],
                 "its statement belongs to another decision")
            need(at[:19] + "Z" < said["expires_at"], "its statement had expired")
            need(said["nonce"] not in used, "its statement was used before")
            used.add(said["nonce"])
        except BROKEN as error:
            faults.append((index, str(error) if isinstance(error, Wrong) else "it cannot be read"))
    return faults, len(used)
