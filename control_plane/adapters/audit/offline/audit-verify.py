#!/usr/bin/env python3
# fmt: off - an auditor reads this file from end to end, so it is kept short
"""Verify a dossier of a tenantplane audit log, offline: python -I audit-verify.py FILE.zip

It needs Python 3.11 and nothing else: no network, no database, no product. The log is hashed as
RFC 6962 says, its heads are C2SP checkpoints, and signatures are Ed25519 of RFC 8032.
"""
import argparse, base64, functools, hashlib, json, os, re, struct, sys, time, zipfile
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timezone

CHECKS = (  # what each says when all is well; what it finds, with the exit codes
    ("every checkpoint is signed by a key that is {key}", {"BADSIG": 10}),
    ("the quorum of witnesses was reached: {quorum}", {"UNWITNESSED": 13}),
    ("every entry has the hash that was signed", {"TAMPERED": 10, "UNSIGNED": 10}),
    ("the log extends the checkpoints that you gave: {pins}", {"REWRITTEN": 10}),
    ("all {checkpoints} checkpoints are of one history", {"FORKED": 10}),
    ("every entry has its closed form and this log, in time", {"MALFORMED": 11, "MISDATED": 11}),
    ("no index is missing: {entries} entries", {"GAP": 12, "BADFILE": 17}),
    ("disclosed values open: {opened}; erased: {erased}", {"BADDISCLOSURE": 14}),
    ("what was applied keeps the controls: {controls}", {"CONTROL": 15}),
    ("the log goes from {from} to {to}", {"PARTIAL": 16}))
EXITS = {name: code for _, verdicts in CHECKS for name, code in verdicts.items()}
CONTROLS = ("approved", "other_person", "same_plan", "still_valid", "rules", "holds", "signed")
IS_NAME = re.compile(r"(?!.*\.\.)[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII).fullmatch
NEVER = "9"  # a time after all others
sha256 = hashlib.sha256

class Bad(ValueError):
    """What is wrong, in a sentence."""
def need(is_so, otherwise):
    if not is_so:
        raise Bad(otherwise)
def reason(error):
    return str(error) if isinstance(error, Bad) else f"it cannot be read ({type(error).__name__})"

# --- Ed25519, RFC 8032 section 5.1: only the canonical forms ------------------------------------
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, BASE = -121665 * pow(121666, -1, P) % P, (4 * pow(5, -1, P) % P).to_bytes(32, "little")

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P

@functools.lru_cache(maxsize=64)
def multiples(key, sign=1):
    """Return the point of a public key, or its negative, doubled 0 to 255 times."""
    odd, y = key[31] >> 7, int.from_bytes(key, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    is_point = (x * x - square) % P == 0 and (x or not odd)
    need(len(key) == 32 and y < P and is_point, "a key is not a point")
    x = (x if x & 1 == odd else P - x) * sign % P
    points = [(x, y, 1, x * y % P)]
    while len(points) < 256:
        points.append(add(points[-1], points[-1]))
    return points

def is_signed(key, message, signature):
    """Tell whether the 64 bytes are the key's signature over the message."""
    s, total = int.from_bytes(signature[32:], "little"), (0, 1, 1, 0)
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    for points, factor in ((multiples(BASE), s % L), (multiples(key, -1), h)):
        for place in range(factor.bit_length()):
            total = add(total, points[place]) if factor >> place & 1 else total
    over = pow(total[2], -1, P)
    found = total[1] * over % P | (total[0] * over % P & 1) << 255
    return len(signature) == 64 and s < L and found.to_bytes(32, "little") == signature[:32]

# --- notes, checkpoints, policies: c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature ------
@functools.lru_cache(2**16)  # proofs of neighbours share most of their hashes
def base64_of(text):
    content = base64.b64decode(text, validate=True)
    need(base64.b64encode(content).decode() == text, "base64 is not in its proper spelling")
    return content

def vkey(text):
    """Return (name, key id, type, public key) of a verifier key."""
    name, key_id, encoded = text.split("+", 2)
    blob = base64_of(encoded)
    wanted = sha256(name.encode() + b"\n" + blob).digest()[:4]
    need(len(blob) == 33 and blob[0] in {1, 4} and wanted.hex() == key_id, "a vkey is malformed")
    multiples(blob[1:], -1)
    return name, wanted, blob[0], blob[1:]

def open_note(content, origin, keys):
    """Return (size, root, those of the keys that signed it) of a checkpoint of this log."""
    note, known, signed = content.decode(), {key[:2]: key for key in keys}, set()
    found = re.fullmatch("([^\n]*)\n(0|[1-9][0-9]{0,18})\n([^\n]*)\n\n((?:[^\n]+\n){1,64})", note)
    need(found and not re.search(r"[\x00-\x09\x0b-\x1f]", note), "it is not a signed checkpoint")
    root = base64_of(found[3])
    need(found[1] == origin and len(root) == 32, "it belongs to another log, or has a bad root")
    for match in (re.fullmatch(r"— ([^\s+]+) (\S+)", each) for each in found[4].splitlines()):
        need(match and len(match[2]) > 7, "a signature line is malformed")
        blob, message = base64_of(match[2]), note[:found.start(4) - 1].encode()
        key, signature = known.get((match[1], blob[:4])), blob[4:]
        if key and key[2] == 4:  # a witness, which says when it saw the head
            seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = b"cosignature/v1\ntime %d\n" % seconds + message
        need(not key or is_signed(key[3], message, signature), "a known key's signature is wrong")
        signed |= {key} - {None}
    return int(found[2]), root, signed

class Policy:
    """A trust policy: the keys of the log, and the witnesses that must have seen its head."""
    def __init__(self, text):
        self.logs, self.named, self.quorum = [], {}, "none"
        for line in text.split("\n"):
            word, *rest = line.split("#")[0].split() or [""]
            is_new = len(rest) > 1 and rest[0] not in {"none", *self.named}
            if word == "log" and len(rest) in {1, 2}:
                self.logs.append(vkey(rest[0]))
            elif word == "witness" and is_new and len(rest) < 4:
                self.named[rest[0]] = vkey(rest[1])
            elif word == "group" and is_new:
                least = {"all": len(rest) - 2, "any": 1}.get(rest[1]) or int(rest[1])
                members = {*rest[2:]} & self.named.keys()
                need(0 < least <= len(members) == len(rest) - 2, "a group of the policy is wrong")
                self.named[rest[0]] = [least, members]
            elif word == "quorum" and len(rest) == 1 and rest[0] in {"none", *self.named}:
                self.quorum = rest[0]
            else:
                need(not word, "a line of the policy is malformed")
    def has_quorum(self, signed, name):
        found = self.named.get(name)
        if isinstance(found, list):
            return sum(self.has_quorum(signed, each) for each in found[1]) >= found[0]
        return found in signed or name == "none"

# --- Merkle trees: RFC 6962 section 2.1 ---------------------------------------------------------
def leaf_of(entry):
    return sha256(b"\0" + entry).digest()
@functools.lru_cache(2**16)
def node(left, right):
    return sha256(b"\1" + left + right).digest()

def root_of(hashes):
    """Return the root over hashes of one level: one without a neighbour goes up as it is."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2])
        hashes = [sha256(b"\1" + a + b).digest() for a, b in pairs] + hashes[len(hashes) & ~1:]
    return hashes[0] if hashes else sha256(b"").digest()

def root_at(levels, size):
    """Return the root of a tree's first leaves; levels[k] has the roots of 256**k leaves each."""
    rest = []
    for number, level in enumerate(levels):
        end = size >> 8 * number
        part = level[end & ~255:end] + rest
        rest = [root_of(part)] if part else []
    return root_of(rest)

def root_by(idx, size, leaf, proof):
    """Return the root to which an inclusion proof leads, as RFC 6962 section 2.1.1 defines it."""
    need(0 <= idx < size and bool(proof) == (size > 1), "a proof does not fit its index")
    if size == 1:
        return leaf
    *lower, other = proof
    half = 1 << (size - 1).bit_length() - 1
    if idx < half:
        return node(root_by(idx, half, leaf, lower), other)
    return node(other, root_by(idx - half, size - half, leaf, lower))

def tile(level, at, width):
    path, rest = f"{at % 1000:03d}", at // 1000
    while rest:
        path, rest = f"x{rest % 1000:03d}/{path}", rest // 1000
    return f"log/tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")
def split(content, width):
    """Return texts that follow one another, each after its length in ``width`` bytes."""
    found, at = [], 0
    while at < len(content):
        start, at = at + width, at + width + int.from_bytes(content[at:at + width], "big")
        found.append(content[start:at])
    need(at == len(content), "a list of texts is cut off")
    return found

# --- the form of an entry: docs/audit-log.md, "The event body" ----------------------------------
def number(text):
    need(len(text) <= 17 and abs(int(text)) <= 2**53 - 1, "it holds a number that is too large")
    return int(text)
def refuse(_text):
    raise Bad("it holds a number that is not whole")
decode = json.JSONDecoder(parse_int=number, parse_float=refuse, parse_constant=refuse).decode
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
is_key = functools.lru_cache(4096)(re.compile("[a-z][a-z0-9_.]*").fullmatch)

def parse(content):
    """Return the JSON value whose canonical form (RFC 8785) the bytes are."""
    value = decode(content.decode())
    need(encode(value).encode("utf-8", "replace") == content, "it is not canonical JSON")
    check_keys(value, 64)
    return value
def check_keys(value, depth):
    need(depth >= 0 and (isinstance(value, list) or all(map(is_key, value))), "it has a bad key")
    for each in value if isinstance(value, list) else value.values():
        if isinstance(each, (dict, list)):
            check_keys(each, depth - 1)

MUST = {*"action actor data id pii schema source specversion stage target tenant time type".split()}
MAY = {*"approval cause decision idempotency_key_sha256 request_id run step trace_id".split()}
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z").fullmatch
IS_ID = re.compile("evt_[0-7][0-9A-HJKMNP-TV-Z]{25}").fullmatch
STAGES = {"attempted", "completed", "failed", "denied", "unknown"}

def opened(entry, tree, schemas):
    """Return header and body of an entry of the closed form."""
    line, _, content = entry.partition(b"\n")
    header, body = parse(line), parse(content)
    is_head = header.keys() == {"idx", "prev", "seq_time"} and len(line) <= 1024
    need(is_head and TIME(header["seq_time"]), "its header is malformed")
    is_form = MUST <= body.keys() <= MUST | MAY and body["stage"] in STAGES and TIME(body["time"])
    need(is_form and IS_ID(body["id"]) and isinstance(body["actor"]["id"], str),
         "it is not of the closed form")
    schema, name = body["schema"], body["action"]
    current = schemas.get((name, schema["version"])) or schemas.get((schema["sha256"], 0))
    need(schema["name"] == name and body["type"] == f"tenantplane.{name}" and schema["sha256"]
         == current, "no release wrote events of its schema")
    need(body["tenant"] == tree, "it belongs to another log")
    return header, body

def proved(line, size, root):
    """Return index and entry of a line that can be proved alone, under the given head."""
    one = decode(line.decode())
    entry = one["entry"].encode() if "entry" in one else base64_of(one["entry_base64"])
    leaf, proof = leaf_of(entry), [base64_of(each) for each in one["proof"]]
    need((one["size"], base64_of(one["root"]), one["leaf"]) == (size, root, leaf.hex())
         and root_by(one["idx"], size, leaf, proof) == root, "a line does not prove its entry")
    return one["idx"], entry

# --- the controls: what people decided, against what was applied --------------------------------
def fingerprint(public):
    return "SHA256:" + base64.b64encode(sha256(public).digest()).decode().rstrip("=")

def sshsig_fault(data, at, keys):
    """Say what is wrong with an approver's signature (OpenSSH's PROTOCOL.sshsig), or nothing."""
    try:
        blob, statement = base64_of(data["signature"]), data["statement"].encode()
        public, *parts, signature = split(blob[10:], 4)
        (kind, key), (kind_too, signed) = split(public, 4), split(signature, 4)
        need(blob[:10] == b"SSHSIG\0\0\0\1" and kind == kind_too == b"ssh-ed25519" and parts == [
            b"approval@tenantplane", b"", b"sha512"], "its signature has another kind")
        parts.append(hashlib.sha512(statement).digest())
        texts = b"".join(struct.pack(">I", len(each)) + each for each in parts)
        need(is_signed(key, b"SSHSIG" + texts, signed), "its signature does not verify")
        since, until = keys.get(fingerprint(public), (NEVER, NEVER))
        need(fingerprint(public) == data["approver_key"] and since <= at < until,
             "the key that signed it was not enrolled then")
        said = parse(statement)
        need(all(said[each] == data[each] for each in ("plan_digest", "verdict")),
             "its signed statement is another decision")
    except Exception as error:  # noqa: BLE001 - whatever it holds, no traceback
        return reason(error)
    return ""

class Controls:
    """Replays a log from its start, and judges what is between the times asked for."""
    def __init__(self, options, platform):
        self.options, self.population, self.exceptions = options, Counter(), []
        self.runs, self.holds, self.loaded, self.keys = {}, {}, {}, {}
        with open(options.approvers or os.devnull, encoding="utf-8") as file:
            for words in filter(None, map(str.split, file)):  # name ssh-ed25519 key
                self.keys[fingerprint(base64_of(words[2]))] = ["", NEVER]
        for data, action, at in ((each["data"], each["action"], each["time"]) for each in platform):
            if action == "rules.loaded":
                name = data["document"].removesuffix(".yaml")
                self.loaded.setdefault(name, []).append((at, data["digest"]))
            elif action in {"approver_key.enrolled", "approver_key.revoked"}:
                times = self.keys.setdefault(data["approver_key"], [NEVER, NEVER])
                times[action == "approver_key.revoked"] = at
    def judge(self, name, is_kept, idx, why):
        if name in self.options.controls and self.is_asked:
            self.population[name] += 1
            self.exceptions += [] if is_kept else [{"control": name, "idx": idx, "why": why}]
    def see(self, idx, body):
        action, data, at, stage = body["action"], body["data"], body["time"], body["stage"]
        since, until = self.options.since, self.options.until
        self.is_asked = since <= at and at[:len(until)] <= until
        run = self.runs.setdefault(body.get("run"), {
            "events": [], "asked": set(), "yes": {}, "until": NEVER, "plan": None, "was": None,
            "needed": 0, "rule": False, "begun": None, "is_asked": False})
        run["events"] += [idx] if "run" in body else []
        who = {body["actor"]["id"], body["actor"].get("on_behalf_of")} - {None}
        if stage == "denied":
            return
        if action == "run.requested":
            run["asked"] |= who
        elif action == "run.approval_requested":
            run.update(needed=data["needed"], until=data["expires_at"], plan=None, was=None, yes={})
        elif action == "decision.given" and data.get("verdict") == "approve":
            run["yes"][body["approval"]["decision_id"]] = body["actor"]["id"], data["plan_digest"]
            self.judge("other_person", not who & run["asked"], idx, "who asked for it approved it")
        elif action == "decision.withdrawn":
            run["yes"].pop(data["decision"], None)
        elif action == "run.approved":
            run["plan"] = run["was"] = data["plan_digest"]
            run["rule"] = "approval" not in body
        elif action in {"approval.expired", "approval.canceled", "approval.superseded",
                        "run.approval_withdrawn"}:
            run["plan"] = None
        elif action in {"hold.placed", "hold.released"}:
            hold = next(each["id"] for each in body["target"] if each["type"] == "hold")
            self.holds.pop(hold, None)
            self.holds |= {hold: idx} if action == "hold.placed" else {}
        elif action == "run.apply" and stage == "attempted":
            self.apply(idx, data, run, at)
        elif action == "run.apply":
            self.judge("same_plan", run["begun"] == data["plan_digest"], idx, "another plan began")
        if action == "decision.given" and {"signature", "statement"} & data.keys():
            fault = sshsig_fault(data, at, self.keys)
            self.judge("signed", not fault, idx, fault)
        if "rules_digest" in data and self.loaded:
            is_mode = action.startswith("mode.")
            found = {name: max((each for each in self.loaded.get(name, []) if each[0] <= at),
                               default=("", ""))[1] for name in (
                     ("mode_rules", "regions") if is_mode else ("approval_rules",))}
            both = "sha256:" + sha256(encode(found).encode()).hexdigest()
            wanted = both if is_mode else found["approval_rules"]
            self.judge("rules", data["rules_digest"] == wanted, idx, "its rules were not in force")
    def apply(self, idx, data, run, at):
        plan, held = data["plan_digest"], sorted(self.holds.values())
        people = {who for who, digest in run["yes"].values() if digest == plan}
        is_agreed = run["rule"] and not run["needed"] or len(people) >= max(run["needed"], 1)
        self.judge("approved", run["was"] and is_agreed, idx, "applied without its approvals")
        self.judge("same_plan", run["was"] in {plan, None}, idx, "another plan was approved")
        if not data.get("resumed"):
            is_valid = not run["was"] or run["plan"] and at[:19] <= run["until"][:19]
            self.judge("still_valid", is_valid, idx, "its approval had ended")
            self.judge("holds", not held, idx, f"applied while a hold stood: entries {held}")
        run.update(begun=plan, is_asked=run["is_asked"] or self.is_asked)
    def sample(self, seed, count):
        """Return runs with an effect, picked by the seed alone, with the entries of each."""
        names = (name for name, run in self.runs.items() if run["is_asked"])
        order = sorted(names, key=lambda name: sha256(f"{seed} {name}".encode()).hexdigest())
        return [{"run": name, "entries": self.runs[name]["events"]} for name in order[:count]]

# --- the ten checks -----------------------------------------------------------------------------
class Verification:
    def __init__(self, options):
        self.options, self.found, self.counts, self.controls = options, [], Counter(), None
        self.facts = {"key": "unknown", "quorum": "none", "checkpoints": 0, "entries": 0, "pins": 0,
                      "opened": 0, "erased": 0, "from": "", "to": "", "controls": "", "lines": 0}
        self.prev, self.pii, self.erasures, self.heads, self.leaves = {}, {}, set(), {}, []
        self.seen, self.unseen = 0, ""  # entries that a quorum saw; when the next one was logged
        self.soon = datetime.fromtimestamp(time.time() + 300, timezone.utc).isoformat()
    def find(self, verdict, why, idx=None, size=None):
        self.counts[verdict] += 1
        if self.counts[verdict] <= 10:
            self.found.append({"verdict": verdict, "why": why, "idx": idx, "size": size})
    @contextmanager
    def finding(self, verdict, what, idx=None):
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it holds, no traceback
            self.find(verdict, f"{what}: {reason(error)}", idx)
    def run(self):
        with self.finding("BADFILE", "the dossier"):
            self.unpack()
            self.signatures()
            self.controls = Controls(self.options, self.platform())
            self.entries()
            self.histories()
            if self.options.controls:
                self.lines()
                self.disclosures()
                self.range()
        for each in self.controls.exceptions if self.controls else ():
            self.find("CONTROL", f"{each['control']}: {each['why']}", each["idx"])
    def read(self, name, limit=2**26):
        need(self.bytes[name] <= limit, f"{name} is too large")
        return self.zip.read(name)
    def json(self, name):
        return decode(self.read(name).decode())
    def unpack(self):
        """Refuse what no dossier holds, and files that are not those of the manifest."""
        self.zip = zipfile.ZipFile(self.options.file)
        listed = self.zip.infolist()
        self.bytes = {each.filename: each.file_size for each in listed}
        for each in listed:
            need(each.orig_filename == each.filename and IS_NAME(each.filename) and not (
                each.flag_bits & 0x41) and each.compress_type in {0, 8}, "its files are not plain")
        need(len(self.bytes) == len(listed), "it holds two files of one name")
        need(sum(self.bytes.values()) < 2**26 + 400 * sum(each.compress_size for each in listed),
             "it would unpack to far more than it is")
        self.manifest = found = self.json("MANIFEST.json")
        self.stated, files = found.pop("sha256"), found["files"]
        need(found["form"] == 1 and sha256(encode(found).encode()).hexdigest() == self.stated
             and files.keys() == self.bytes.keys() - {"MANIFEST.json"},
             "the manifest was changed, lists other files, or is of an unknown form")
        for name, each in files.items():
            with self.zip.open(name) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            need(each == {"bytes": self.bytes[name], "sha256": digest}, f"{name} was changed")
        self.size, self.tree = found["size"], found["tree"]
        need(found["origin"] == f"{found['host']}/audit/{self.tree}", "it is of two logs")
        found = self.json("schemas.json")
        self.schemas = {(each, 0): each for each in found["retired"]} | {
            (each["name"], each["version"]): "sha256:" + sha256(encode(each).encode()).hexdigest()
            for each in found["documents"]}
        self.disclosed = self.json("disclosures.json")["values"]
        self.pii = {(each["event_id"], each["path"]): (None, None) for each in self.disclosed}
    def head(self, content, tree):
        """Return (size, root, who signed it) of a checkpoint that a key in force signed."""
        origin = f"{self.manifest['host']}/audit/{tree}"
        own = [(key, row) for key, row in self.keys if key[0] == origin]
        found = open_note(content, origin, [*(key for key, _ in own), *self.witnesses])
        need(any(key in found[2] and row["from_size"] <= found[0] < (row["to_size"] or 2**63)
                 for key, row in own), "no known key that was in force signed it")
        return found
    def rooted(self):
        """Return the head of this log that the log of logs has, and who signed that one's head."""
        found = self.json("root.json")
        size, root, signed = self.head(found["checkpoint"].encode(), "root")
        entry, proof = found["entry"].encode(), [base64_of(each) for each in found["proof"]]
        header, body = map(parse, entry.split(b"\n"))
        need((found["size"], found["idx"], self.tree) == (size, header["idx"], body["tree"])
             and root_by(header["idx"], size, leaf_of(entry), proof) == root, "it proves no head")
        return body["size"], base64_of(body["root"]), signed
    def signatures(self):
        """Checks 1 and 2: the heads and their keys, and the witnesses of the newest."""
        given, self.pins, seen = self.options.policy, [], []
        with open(given or os.devnull, encoding="utf-8") as file:
            policy = Policy(file.read() if given else self.read("trust.policy").decode())
        trusted = {key[3] for key in policy.logs if key[2] == 1}
        rows = [(vkey(row["vkey"]), row) for row in self.json("keys.json")["keys"]]
        self.keys = [(key, row) for key, row in rows if key[3] in trusted and key[2] == 1]
        self.witnesses = [each for each in policy.named.values() if isinstance(each, tuple)]
        names = ["log/checkpoint", *(x for x in self.bytes if x.startswith("log/checkpoints/"))]
        names = names if self.size or self.bytes[names[0]] else []  # nobody has signed it yet
        for name in [*names, *self.bytes.keys() & {"root.json"}]:
            with self.finding("BADSIG", name):
                is_own, content = name in names, self.read(name, 2**18)
                size, root, signed = self.head(content, self.tree) if is_own else self.rooted()
                need(not is_own or size == int(name[16:] or self.size), f"it is of size {size}")
                seen += [size] if policy.has_quorum(signed, policy.quorum) else []
                if self.heads.setdefault(size, root) != root:
                    self.find("FORKED", f"two signed heads of size {size} differ", size - 1, size)
        self.seen = max(seen, default=0)
        if self.heads and not seen:
            self.find("UNWITNESSED", "too few witnesses saw a head of it", size=self.size)
        if max(self.heads, default=0) > self.size:
            self.find("TAMPERED", f"signed entries from {self.size} are not here", self.size)
        for path in self.options.pin:
            with self.finding("BADSIG", "the checkpoint that you gave"), open(path, "rb") as file:
                self.pins.append(self.head(file.read(2**18), self.tree)[:2])
        if policy.quorum != "none":
            self.facts["quorum"] = f"{policy.quorum}, which saw {self.seen} of {self.size} entries"
        self.facts |= {"checkpoints": len(self.heads), "pins": len(self.pins)}
        self.facts["key"] = ("pinned" if given else "seen first") if self.heads else "unknown"
    def platform(self):
        """Return the events of the platform's log that the controls need, each proved."""
        if not {"platform.ndjson", "platform/checkpoint"} <= self.bytes.keys():
            if self.tree != "platform":
                self.find("GAP", "the entries of the platform's log are missing")
            return []
        head = self.head(self.read("platform/checkpoint", 2**18), "platform")
        lines = [proved(line, *head[:2]) for line in self.read("platform.ndjson").splitlines()]
        return [opened(entry, "platform", self.schemas)[1] for _, entry in sorted(lines)]
    def entries(self):
        """Checks 3, 6, 7 and 9: every entry, and every tile over them."""
        names = set()
        for start in range(0, self.size, 256):
            wide = min(256, self.size - start)
            bundles = (tile("entries", start // 256, width) for width in range(wide, 0, -1))
            names |= {*(found := [each for each in bundles if each in self.bytes][:1])}
            entries = split(self.read(found[0]), 2) if found else []
            self.leaves += map(leaf_of, entries)
            for idx, entry in enumerate(entries if self.options.controls else (), start):
                with self.finding("MALFORMED", f"entry {idx}", idx):
                    self.entry(idx, entry)
            if len(entries) != wide:
                end = start + min(len(entries), wide)
                self.find("GAP", f"entries from {end} are missing, or too many", end)
                break
        self.facts["entries"], self.levels = len(self.leaves), [self.leaves]
        while full := len(self.levels[-1]) // 256:
            below = self.levels[-1]
            self.levels.append([root_of(below[256 * at:256 * at + 256]) for at in range(full)])
        for number, level in enumerate(self.levels):
            for at in range(0, len(level), 256):
                part = level[at:at + 256]
                names.add(name := tile(number, at // 256, len(part)))
                stated = self.read(name) if name in self.bytes else b""
                if stated != b"".join(part):
                    hashes = (stated[place:place + 32] for place in range(0, 32 * len(part), 32))
                    first = at + [*map(bytes.__eq__, part, hashes), False].index(False)
                    self.find("TAMPERED", f"{name}: hash {first} is not that of its entries",
                              first * 256**number)
        rest = {x for x in self.bytes if x.startswith("log/tile/")} - names
        if rest or not self.heads or "log/unsigned" in self.bytes:
            self.find("UNSIGNED", f"entries from {self.size} are under no checkpoint, for longer "
                      "than they may wait", self.size)
    def histories(self):
        """Checks 3 to 5: every head, over the entries."""
        def is_over(size, root):
            return size <= len(self.leaves) and root_at(self.levels, size) == root
        good = sorted(size for size, root in self.heads.items() if is_over(size, root))
        for size in sorted(self.heads.keys() - {*good}):
            start = max((each for each in good if each < size), default=0)
            if good and good[-1] > size:
                self.find("FORKED", f"the heads {size} and {good[-1]} contradict", start, size)
            else:
                self.find("TAMPERED", f"entries {start} to {size - 1} are not signed", start, size)
        for size, root in self.pins:
            if not is_over(size, root):
                self.find("REWRITTEN", f"it does not extend your checkpoint of {size}", size=size)
    def entry(self, idx, entry):
        header, body = opened(entry, self.tree, self.schemas)
        names = {"actor": body["actor"]["id"], "run": body.get("run"),
                 "approver": body.get("approval", {}).get("approver")}
        keys = [each for each in names.items() if each[1] and "\0" not in each[1]]
        prev = {key[0]: self.prev[key] for key in keys if key in self.prev}
        self.prev.update(dict.fromkeys(keys, idx))
        need(header["idx"] == idx and header["prev"] == prev, "its header points to other entries")
        at, said, facts = header["seq_time"], body["time"], self.facts
        if at < facts["to"] or at > self.soon or said[:15] > at[:15] and (
                datetime.fromisoformat(said) - datetime.fromisoformat(at)).total_seconds() > 300:
            self.find("MISDATED", f"entry {idx} is dated before another, or in the future", idx)
        facts["from"], facts["to"] = facts["from"] or at, max(at, facts["to"])
        self.unseen = at if idx == self.seen else self.unseen
        asked = self.manifest["range"]["asked"]
        facts["lines"] += (asked["from"] or "") <= at <= (asked["to"] or NEVER)
        for path, value in body["pii"].items():
            if (body["id"], path) in self.pii:
                self.pii[body["id"], path] = idx, value
        self.erasures |= {body["id"]} if body["action"] == "erasure.done" else set()
        with self.finding("CONTROL", f"entry {idx} lacks what a control needs", idx):
            self.controls.see(idx, body)
    def lines(self):
        """Check that entries.ndjson has each entry of the time that was asked for, proved."""
        last, count = -1, 0
        with self.zip.open("entries.ndjson") as file:
            for line in file:
                idx, entry = proved(line, self.size, self.heads.get(self.size, b""))
                need(idx > last and self.leaves[idx] == leaf_of(entry), "its lines are of two logs")
                last, count = idx, count + 1
        if count != self.facts["lines"] and not self.found:
            self.find("PARTIAL", f"entries.ndjson has {count} of {self.facts['lines']} lines")
    def disclosures(self):
        """Check 8: values that were disclosed open their commitments; erased ones name why."""
        for each in self.disclosed:
            idx, stated = self.pii[each["event_id"], each["path"]]
            is_erased = each["erased_at"] is not None
            self.facts["erased" if is_erased else "opened"] += 1
            salted = bytes.fromhex(each["salt"] or "") + (each["value"] or "").encode()
            digest = "sha256:" + sha256(b"tenantplane/field/v1\0" + salted).hexdigest()
            is_good = each["erasure_event"] in self.erasures if is_erased else digest == stated
            if not is_good or idx != each["idx"]:
                self.find("BADDISCLOSURE", f"a value of entry {each['idx']} is not the one that "
                          "was committed to, or was erased without an event", each["idx"])
    def range(self):
        """Check 10: what was asked for, against what is here."""
        asked, found = (self.manifest["range"][each] for each in ("asked", "found"))
        begins, ends = asked["from"] or "", asked["to"] or NEVER
        since, until = self.options.since or begins, self.options.until or ends
        if begins[:len(since)] > since or ends[:len(until)] < until:
            self.find("PARTIAL", "its lines to read are of a shorter time than you asked for")
        if until != NEVER and self.facts["to"][:19] < until[:19]:
            self.find("PARTIAL", f"asked for until {until}, and it ends at {self.facts['to']}")
        if self.seen and self.unseen and (datetime.fromisoformat(self.facts["to"])
                - datetime.fromisoformat(self.unseen)).total_seconds() > 3600:
            self.find("UNWITNESSED", f"entries from {self.seen} were seen by too few witnesses, an "
                      "hour after they were logged", self.seen)
        if (found["from"], found["to"]) != (self.facts["from"], self.facts["to"]):
            self.find("PARTIAL", "the manifest states another range than the log has")
    def report(self):
        """Return everything as plain JSON."""
        controls, options = self.controls, self.options
        found = {each["verdict"] for each in self.found}
        tried = sorted(controls.population.items()) if controls else []
        self.facts["controls"] = ", ".join(f"{name} {count}" for name, count in tried)
        at = [(each["idx"], each["size"] or 0) for each in self.found if each["idx"] is not None]
        first, end = min(at, default=(None, 0))  # of a span, the first that is known to be bad
        first = min((idx for idx, size in at if first <= idx < end and not size), default=first)
        worst = min(found, key=lambda each: (EXITS[each], [*EXITS].index(each)), default="OK")
        checks = [{"check": number, "ok": not found & {*verdicts, "BADFILE"},
                   "says": says.format_map(self.facts)}
                  for number, (says, verdicts) in enumerate(CHECKS, 1)]
        return {"verdict": worst, "first_bad_index": first, "exit_code": EXITS.get(worst, 0),
                "manifest_sha256": getattr(self, "stated", None), "facts": self.facts,
                "checks": checks, "findings": self.found, "counts": self.counts,
                "sample": controls.sample(options.seed, options.sample) if controls else []}

def moment(text):
    need(re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?|", text), "not a time")
    return text.rstrip("Z")

def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify a dossier of an audit log, offline.")
    option = parser.add_argument
    option("file", help="the dossier")
    option("--policy", help="trust policy of your own: keys of the log, witnesses")
    option("--pin", action="append", default=[], help="a checkpoint that you kept")
    option("--approvers", help="keys of approvers: lines of `name ssh-ed25519 key`")
    option("--controls", default=",".join(CONTROLS), help="names, or `none`: hashes alone")
    option("--from", dest="since", type=moment, default="", help="judge what came from then on")
    option("--to", dest="until", type=moment, default="", help="judge what came until then")
    option("--sample", type=int, default=0, help="pick that many runs, with evidence")
    option("--seed", default="", help="of the sample: the same picks the same")
    option("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args(arguments)
    options.controls = {*options.controls.split(",")} - {"none"}
    if options.controls - {*CONTROLS}:
        parser.error("--controls takes " + ", ".join(CONTROLS))
    verification = Verification(options)
    verification.run()
    report = verification.report()
    sys.stdout.reconfigure(errors="backslashreplace")
    if options.json:
        print(json.dumps(report, indent=2))
        return report["exit_code"]
    for each in report["checks"]:
        print("ok  " if each["ok"] else "FAIL", each["check"], each["says"] if each["ok"] else "")
    for each in report["findings"]:
        print(f"{each['verdict']}: {each['why']}")
    for each in report["sample"]:
        print("sample", each["run"], "entries", *each["entries"])
    print(f"Verdict: {report['verdict']}")
    return report["exit_code"]

if __name__ == "__main__":
    sys.exit(main())
