// What npm's `etcd3` asks of a store, and hears.
//
//     client.cjs HOST:PORT
//
// Asks for keys, watches, leases, locks, elections, maintenance and users, and prints a line for each answer, without
// ids and times. Two stores that print the same lines cannot be told apart by this client. The store must be new: its
// revisions are printed.

const { Etcd3, Range, isRecoverableError } = require("etcd3");

const PATIENCE_MS = 10_000;

function say(what, ...answer) {
  console.log(`${what}:`, ...answer.map((one) => (typeof one === "string" ? one : JSON.stringify(one))));
}

/** Asks for what is refused, and says in which words. */
async function refused(what, ask) {
  try {
    say(what, "not refused", await ask());
  } catch (error) {
    say(what, error.constructor.name, error.message, isRecoverableError(error) ? "may be tried again" : "final");
  }
}

/** The numbers of a key's life. */
function life(kv) {
  return `${kv.key} = ${kv.value} created ${kv.create_revision} changed ${kv.mod_revision} version ${kv.version}`;
}

/** What an emitter says next of this kind. */
function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    emitter.once(event, (...said) => {
      clearTimeout(timer);
      resolve(said);
    });
  });
}

/** Waits until this holds. */
async function until(what, holds) {
  for (const begun = Date.now(); !holds(); await new Promise((resolve) => setTimeout(resolve, 10))) {
    if (Date.now() - begun > PATIENCE_MS) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
  }
}

async function keys(client) {
  say("put", (await client.put("a").value("1").exec()).header.revision);
  say("put with the one before", life(await client.put("a").value("2").getPrevious()));
  say("get", await client.get("a").string(), life((await client.get("a").exec()).kvs[0]));
  say("get none", await client.get("none").string(), await client.get("none").exists());
  for (let n = 0; n < 5; n++) await client.put(`list/${n}`).value(9 - n);
  const list = () => client.getAll().prefix("list/");
  say("list", await list().numbers());
  say("the last two", (await list().sort("Key", "Descend").limit(2).exec()).kvs.map(life));
  say("count", await list().count(), (await list().limit(2).exec()).count, (await list().limit(2).exec()).more);
  say("keys", await list().keys());
  say("sorted by value", await list().sort("Value", "Ascend").keys());
  say("changed since 6", await list().minModRevision(6).keys());
  say("as of 5", await list().revision(5).keys());
  await refused("of the future", () => client.get("a").revision(1000).string());
  say("delete", (await client.delete().key("list/0")).deleted, (await client.delete().key("list/0")).deleted);
  say("delete with the one before", (await client.delete().key("list/1").getPrevious()).map(life));
  say("delete a prefix", (await client.delete().prefix("list/").exec()).deleted);
  await client.namespace("mine/").put("k").value("v");
  say("within a namespace", await client.namespace("mine/").getAll().keys(), await client.get("mine/k").string());
}

async function transactions(client) {
  const tried = (target, operator, value) =>
    client.if("a", target, operator, value).then(client.put("a").value("3")).else(client.get("a")).commit();
  const no = await tried("Mod", "==", 1);
  say("txn else", no.succeeded, no.responses[0].response, life(no.responses[0].response_range.kvs[0]));
  const yes = await tried("Value", "==", "2");
  say("txn", yes.succeeded, yes.responses[0].response, yes.responses[0].response_put.header.revision);
  say("txn on version", (await tried("Version", ">", 3)).succeeded, (await tried("Create", "!=", 1)).succeeded);
  await refused("the same key twice", () =>
    client.if("a", "Version", ">", 0).then(client.put("a").value("5"), client.put("a").value("6")).commit());
  await client.stm().transact(async (stm) => {
    await stm.put("to").value((await stm.get("a")) + "!");
  });
  say("stm", await client.get("to").string());
}

async function watches(client) {
  const start = (await client.put("w/0").value("before").exec()).header.revision;
  const watcher = await client.watch().prefix("w/").startRevision(start).withPreviousKV().create();
  const heard = [];
  watcher.on("put", (kv, before) => heard.push(`put ${life(kv)} before ${before && before.value}`));
  watcher.on("delete", (kv, before) => heard.push(`delete ${kv.key} ${kv.mod_revision} before ${before.value}`));
  await client.put("w/1").value("x");
  await client.put("w/1").value("y");
  await client.delete().key("w/1");
  await until("four events", () => heard.length === 4);
  say("heard", heard);
  const deletes = await client.watch().key("w/2").only("delete").create();
  const deleted = next(deletes, "delete");
  await client.put("w/2").value("x");
  await client.delete().key("w/2");
  say("only deletes", (await deleted)[0].key.toString());
  await watcher.cancel();
  await deletes.cancel();
  const compactedAt = (await client.put("w/3").value("x").exec()).header.revision;
  await client.kv.compact({ revision: compactedAt });
  const late = await client.watch().key("w/1").startRevision("2").create();
  say("a watch of what is compacted", (await next(late, "error"))[0].message);
  await refused("a read of what is compacted", () => client.get("a").revision(2).string());
  await refused("compacted twice", () => client.kv.compact({ revision: 2 }));
}

async function leases(client) {
  const lease = client.lease(600);
  await lease.put("leased").value("1");
  say("lease", (await client.get("leased").exec()).kvs[0].lease === (await lease.grant()));
  const left = await client.leaseClient.leaseTimeToLive({ ID: await lease.grant(), keys: true });
  say("time to live", left.grantedTTL, left.TTL >= 598, left.keys.map(String));
  say("kept alive", (await lease.keepaliveOnce()).TTL);
  await lease.revoke();
  say("revoked", await client.get("leased").string());
  const unknown = client.leaseClient;
  say("unknown", (await unknown.leaseTimeToLive({ ID: "4711" })).TTL);
  await refused("revoked twice", () => unknown.leaseRevoke({ ID: "4711" }));
  await refused("put with it", () => client.put("leased").value("1").lease("4711"));
  const short = client.lease(1, { autoKeepAlive: false });
  await short.put("short").value("1");
  const gone = await client.watch().key("short").create();
  say("expired", (await next(gone, "delete"))[0].key.toString(), await client.get("short").string());
  await gone.cancel();
}

async function locks(client) {
  const held = await client.lock("it").acquire();
  await refused("lock that is held", () => client.lock("it").acquire());
  await held.release();
  say("lock released", await client.lock("it").do(async () => "done under it"));
}

async function elections(client) {
  const election = client.election("who");
  say("leader", typeof (await election.leader()));
  const first = election.campaign("first");
  await first.wait();
  say("first", await election.leader());
  const observer = await election.observe();
  const changes = [];
  observer.on("change", (leader) => changes.push(leader));
  await until("the observer", () => observer.leader() === "first");
  const second = election.campaign("second");
  await next(second, "_isWaiting");
  await first.proclaim("first again");
  await until("the proclamation", () => changes.includes("first again"));
  await first.resign();
  await new Promise((resolve, reject) => second.on("elected", resolve).on("error", reject));
  await until("the change", () => changes.includes("second"));
  say("second", await election.leader(), observer.leader());
  await observer.cancel();
  await second.resign();
  say("nobody", typeof (await election.leader()));
}

async function maintenance(client) {
  const status = await client.maintenance.status();
  const { members } = await client.cluster.memberList({});
  say("status", status.leader === members[0].ID, Number(status.dbSize) > 0, Number(status.raftTerm) > 0);
  say("members", members.map((one) => [one.name, one.peerURLs.length, one.clientURLs.length]));
  say("alarms", (await client.maintenance.alarm({ action: "Get" })).alarms);
  say("hash", (await client.maintenance.hash()).hash !== 0);
  await client.maintenance.defragment();
  const image = await client.maintenance.snapshot();
  let bytes = 0;
  image.on("data", (part) => (bytes += part.blob.length));
  await next(image, "end");
  say("snapshot", bytes % 512, bytes > 4096);
}

async function users(client, host) {
  const role = await client.role("reader").create();
  await role.grant({ permission: "Read", range: new Range("a", "b") });
  await client.role("root").create();
  await (await client.user("root").create("secret")).addRole("root");
  await (await client.user("alice").create("secret")).addRole("reader");
  await refused("alice again", () => client.user("alice").create("secret"));
  await refused("a role that is not", () => client.user("alice").addRole("none"));
  const may = await role.permissions();
  say("reader may", may.map((one) => `${one.permission} ${one.range.start}..${one.range.end}`));
  await client.auth.authEnable();
  const as = (username, password) => new Etcd3({ hosts: host, auth: { username, password } });
  await refused("nobody", () => client.get("a").string());
  const [alice, wrong, root] = [as("alice", "secret"), as("alice", "wrong"), as("root", "secret")];
  await refused("a wrong password", () => wrong.get("a").string());
  say("alice reads", await alice.get("a").string());
  await refused("alice reads more", () => alice.get("b").string());
  await refused("alice writes", () => alice.put("a").value("mine"));
  await refused("alice adds a user", () => alice.user("bob").create("secret"));
  say("root writes", (await root.put("a").value("mine").exec()).header.revision);
  say("users", (await root.getUsers()).map((one) => one.name), (await root.getRoles()).map((one) => one.name));
  await root.auth.authDisable();
  say("anybody", await client.get("a").string());
  [alice, wrong, root].forEach((one) => one.close());
}

async function main() {
  const host = `http://${process.argv[2]}`;
  const client = new Etcd3({ hosts: host });
  for (const part of [keys, transactions, watches, leases, locks, elections, maintenance]) await part(client);
  await users(client, host);
  client.close();
  console.log("done");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
