"""What Python's `etcd3` asks of a store, and hears.

    client.py HOST:PORT

Asks for keys, watches, leases, a lock, maintenance and users, and prints a line for each answer, without ids and times.
Two stores that print the same lines cannot be told apart by this client. The store must be new: its revisions are
printed.
"""

import io
import queue
import sys
import threading
import time

import etcd3
import grpc
from etcd3 import etcdrpc

PATIENCE_S = 10


def say(what, *answer):
    print(what + ":", *answer, flush=True)


def meta(kv):
    """The numbers of a key's life."""
    return f"{kv.key.decode()} created {kv.create_revision} changed {kv.mod_revision} version {kv.version}"


def refused(what, ask):
    """Asks for what is refused, and says in which words."""
    try:
        say(what, "not refused:", ask())
    except grpc.RpcError as error:
        say(what, error.code().name, error.details())
    except Exception as error:  # the client's own translation of a status
        say(what, type(error).__name__, error)


def keys(client):
    say("put", client.put("a", "1").header.revision)
    say("put with the one before", client.put("a", "2", prev_kv=True).prev_kv.value)
    value, found = client.get("a")
    say("get", value, meta_of(found), "at", found.response_header.revision)
    say("get none", client.get("none"))
    for n in range(5):
        client.put(f"list/{n}", str(9 - n))
    by_value = client.get_prefix("list/", sort_order="ascend", sort_target="value")
    say("sorted by value", [value for value, _ in by_value])
    down = client.get_prefix("list/", sort_order="descend", sort_target="key")
    say("from the last", [found.key for _, found in down])
    say("keys only", [(value, found.key) for value, found in client.get_prefix("list/", keys_only=True)])
    say("a range", [found.key for _, found in client.get_range("list/1", "list/3")])
    say("all", len(list(client.get_all())))
    say("serializable", client.get("a", serializable=True)[0])
    say("put if there is none", client.put_if_not_exists("a", "3"), client.put_if_not_exists("b", "1"))
    say("replace", client.replace("b", "0", "2"), client.replace("b", "1", "2"))
    say("delete", client.delete("b"), client.delete("b"))
    gone = client.delete("list/0", prev_kv=True, return_response=True)
    say("delete with the one before", gone.deleted, gone.prev_kvs[0].value)
    say("delete a prefix", client.delete_prefix("list/").deleted)


def meta_of(found):
    return f"created {found.create_revision} changed {found.mod_revision} version {found.version}"


def transactions(client):
    tx = client.transactions
    succeeded, answers = client.transaction(
        compare=[tx.value("a") == "2", tx.version("a") > 0, tx.create("none") == 0],
        success=[tx.put("a", "3"), tx.get("a"), tx.delete("none")],
        failure=[tx.get("a")],
    )
    say("txn", succeeded, [[(value, meta_of(found)) for value, found in answer] if isinstance(answer, list)
                           else type(answer).__name__ for answer in answers])
    succeeded, answers = client.transaction(
        compare=[tx.mod("a") < 2], success=[tx.put("a", "4")], failure=[tx.get("a")])
    say("txn else", succeeded, [value for value, _ in answers[0]])
    inner = tx.txn(compare=[tx.version("a") == 3], success=[tx.put("inner", "yes")], failure=[])
    say("txn within", client.transaction(compare=[], success=[inner], failure=[])[0], client.get("inner")[0])
    twice = [tx.put("a", "5"), tx.put("a", "6")]
    refused("the same key twice", lambda: client.transaction(compare=[], success=twice, failure=[]))


def watches(client):
    heard = queue.Queue()
    start = client.put("w/0", "before").header.revision
    first = client.add_watch_prefix_callback("w/", heard.put, start_revision=start, prev_kv=True)
    client.put("w/1", "x")
    client.put("w/1", "y")
    client.delete("w/1")
    events = []
    while len(events) < 4:
        events.extend(heard.get(timeout=PATIENCE_S).events)
    for event in events:
        say("heard", type(event).__name__, event.key, event.value, "at", event.mod_revision, "before", event.prev_value)
    client.cancel_watch(first)
    threading.Timer(0.2, lambda: client.put("once", "now")).start()
    say("once", client.watch_once("once", timeout=PATIENCE_S).value)
    iterator, cancel = client.watch("it", start_revision=client.put("it", "1").header.revision)
    say("iterated", next(iterator).value)
    cancel()
    client.compact(client.put("w/3", "x").header.revision)
    refused("a watch of what is compacted", lambda: next(client.watch("w/1", start_revision=2)[0]))
    refused("compacted twice", lambda: client.compact(2))


def leases(client):
    lease = client.lease(600)
    client.put("leased", "1", lease=lease)
    say("lease", lease.ttl, lease.granted_ttl, 598 <= lease.remaining_ttl <= 600, lease.keys)
    say("kept alive", [answer.TTL for answer in lease.refresh()])
    lease.revoke()
    say("revoked", client.get("leased")[0])
    refused("revoked twice", lease.revoke)
    say("unknown", client.get_lease_info(lease.id).TTL, [answer.TTL for answer in client.refresh_lease(lease.id)])
    refused("put with it", lambda: client.put("leased", "1", lease=lease))
    chosen = client.lease(60, lease_id=4711)
    say("a chosen id", chosen.id)
    refused("the same again", lambda: client.lease(60, lease_id=4711))
    chosen.revoke()
    short = client.lease(1)
    client.put("short", "1", lease=short)
    say("expired", type(client.watch_once("short", timeout=PATIENCE_S)).__name__, client.get("short")[0])


def locks(client):
    held = client.lock("it", ttl=60)
    say("lock", held.acquire(timeout=PATIENCE_S), held.is_acquired())
    say("another", client.lock("it", ttl=60).acquire(timeout=0.5))
    waiting = client.lock("it", ttl=60)
    got = queue.Queue()
    threading.Thread(target=lambda: got.put(waiting.acquire(timeout=PATIENCE_S)), daemon=True).start()
    say("refreshed", [answer.TTL for answer in held.refresh()])
    time.sleep(0.5)  # its watch has no start: what happens before it stands goes unnoticed, with any store
    say("released", held.release(), held.release())
    say("the one that waited", got.get(timeout=PATIENCE_S), waiting.release())


def maintenance(client):
    status = client.status()
    members = list(client.members)
    say("status", status.leader.id == members[0].id, status.db_size > 0, status.raft_term > 0)
    say("members", [(member.name, len(member.peer_urls), len(member.client_urls)) for member in members])
    say("alarms", list(client.list_alarms()))
    say("alarm", [alarm.alarm_type for alarm in client.create_alarm()])
    refused("put while it is raised", lambda: client.put("a", "no room"))
    say("disarmed", [alarm.alarm_type for alarm in client.disarm_alarm()])
    say("hash", client.hash() != 0)
    client.defragment()
    image = io.BytesIO()
    client.snapshot(image)
    say("snapshot", len(image.getvalue()) % 512, len(image.getvalue()) > 4096)


def login(host, port, user, password):
    """gRPC refuses to send credentials of a call without TLS; the client sends the token as metadata as well."""
    client = etcd3.client(host, port, user=user, password=password)
    client.call_credentials = None
    return client


def users(client, host, port):
    """This client can log in, and no more: users are made by the calls below it."""
    auth = etcdrpc.AuthStub(client.channel)
    auth.RoleAdd(etcdrpc.AuthRoleAddRequest(name="root"))
    auth.RoleAdd(etcdrpc.AuthRoleAddRequest(name="reader"))
    read = etcdrpc.AuthRoleGrantPermissionRequest(name="reader")
    read.perm.permType, read.perm.key, read.perm.range_end = 0, b"a", b"b"
    auth.RoleGrantPermission(read)
    for name, role in [("root", "root"), ("alice", "reader")]:
        auth.UserAdd(etcdrpc.AuthUserAddRequest(name=name, password="secret"))
        auth.UserGrantRole(etcdrpc.AuthUserGrantRoleRequest(user=name, role=role))
    auth.AuthEnable(etcdrpc.AuthEnableRequest())
    refused("nobody", lambda: client.get("a"))
    refused("a wrong password", lambda: login(host, port, "alice", "wrong"))
    alice = login(host, port, "alice", "secret")
    say("alice reads", alice.get("a")[0])
    refused("alice reads more", lambda: alice.get("b"))
    refused("alice writes", lambda: alice.put("a", "mine"))
    refused("alice adds a user", lambda: etcdrpc.AuthStub(alice.channel).UserAdd(
        etcdrpc.AuthUserAddRequest(name="bob"), metadata=alice.metadata))
    root = login(host, port, "root", "secret")
    say("root writes", root.put("a", "mine").header.revision)
    admin = etcdrpc.AuthStub(root.channel)
    say("users", list(admin.UserList(etcdrpc.AuthUserListRequest(), metadata=root.metadata).users))
    admin.AuthDisable(etcdrpc.AuthDisableRequest(), metadata=root.metadata)
    say("anybody", client.get("a")[0])


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    with etcd3.client(host, int(port), timeout=PATIENCE_S) as client:
        keys(client)
        transactions(client)
        watches(client)
        leases(client)
        locks(client)
        maintenance(client)
        users(client, host, int(port))
    print("done")


main()
