/** What a bootstrap that cannot be used is told by: the path in its file, what stands there, and what was wanted. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { addressOf, listen } from "./ports.ts";
import { parseBootstrap } from "./config.ts";
import { createStandalone } from "./fixture.ts";
import type { StandaloneSidecar } from "./server.ts";

const types = "type.googleapis.com/envoy.extensions";
const folder = mkdtempSync(join(tmpdir(), "wherry-messages-"));
after(() => rmSync(folder, { recursive: true }));

const at = (address: string, port_value: number): object => ({ socket_address: { address, port_value } });
const router = { name: "router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } };
const direct = { match: { prefix: "/" }, direct_response: { status: 200 } };

type Fields = Readonly<Record<string, unknown>>;

/** Of an HTTP connection manager, beside the least. */
function managed(more: Fields = {}): object {
  const typed_config = {
    "@type": `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    route_config: { virtual_hosts: [{ name: "v", domains: ["*"], routes: [direct] }] },
    http_filters: [router],
    ...more,
  };
  return { filters: [{ name: "http", typed_config }] };
}

function tunnelled(more: Fields = {}): object {
  const typed_config = {
    "@type": `${types}.filters.network.tcp_proxy.v3.TcpProxy`,
    stat_prefix: "x",
    cluster: "up",
    ...more,
  };
  return { filters: [{ name: "tcp", typed_config }] };
}

const listener = (more: Fields = {}): object => ({
  name: "in",
  address: at("127.0.0.1", 0),
  filter_chains: [managed()],
  ...more,
});

const create = (listeners: readonly object[], clusters: readonly object[] = []): StandaloneSidecar =>
  createStandalone(parseBootstrap([JSON.stringify({ static_resources: { listeners, clusters } })]));

/** Asserts what the message is, whole. */
function refused(what: () => unknown, message: string): void {
  assert.throws(what, (error: Error) => {
    assert.equal(error.message, message);
    return true;
  });
}

const first = "static_resources.listeners[0]";
const chain = `${first}.filter_chains[0]`;
const typed = `${chain}.filters[0].typed_config`;

test("StandaloneSidecar names the path in the file, with the name behind where there is one", () => {
  const strange = { filter_chains: [managed({ add_user_agent: true })] };
  const why = `Cannot use ${typed}.add_user_agent: true, User-Agent is the downstream's`;
  refused(() => create([listener(strange)]), `${why} (listener "in")`);
  refused(() => create([listener({ ...strange, name: undefined })]), why);
  const unknown = listener({ filter_chains: [managed({ addUserAgents: true })] });
  assert.throws(() => create([unknown]), { message: new RegExp(`^Cannot read ${escape(typed)}\\.addUserAgents: `) });
  refused(
    () => create([], [{ name: "b" }, { name: "up", connect_timeout: "0s" }]),
    'Cannot read static_resources.clusters[1].connect_timeout: it is zero, wanted more (cluster "up")',
  );
});

function escape(text: string): string {
  return text.replaceAll(/[.[\]]/g, "\\$&");
}

test("StandaloneSidecar refuses two listeners with one address", async () => {
  const two = (one: object, other: object): readonly object[] => [
    listener({ name: "in", address: one }),
    listener({ name: "out", address: other }),
  ];
  const duplicate = (text: string): string =>
    `Cannot use static_resources.listeners[1].address: duplicate address ${text}, wanted another than that of ` +
    'static_resources.listeners[0] (listener "in") (listener "out")';
  const same = at("127.0.0.1", 21_000);
  refused(() => create(two(same, same)), duplicate("127.0.0.1:21000"));
  refused(() => create(two(at("::1", 21_000), at("0:0:0:0:0:0:0:1", 21_000))), duplicate("[0:0:0:0:0:0:0:1]:21000"));
  const unbound = listener({ name: "out", address: same, bind_to_port: false });
  refused(() => create([listener({ address: same }), unbound]), duplicate("127.0.0.1:21000"));
  refused(
    () => create([listener({ name: undefined, address: same }), listener({ name: undefined, address: same })]),
    "Cannot use static_resources.listeners[1].address: duplicate address 127.0.0.1:21000, wanted another than that of " +
      "static_resources.listeners[0]",
  );
  for (const pair of [
    two(at("127.0.0.1", 0), at("127.0.0.1", 0)),
    two(at("0.0.0.0", 21_000), at("::", 21_000)),
    two(at("127.0.0.1", 21_000), at("127.0.0.2", 21_000)),
  ])
    await create(pair).shutDown({ drainMs: 0 });
});

test("StandaloneSidecar names the route whose cluster is not there", () => {
  const routed = (...routes: readonly object[]): readonly object[] => {
    const virtual_hosts = [
      { name: "a", domains: ["a"], routes: [direct] },
      { name: "b", domains: ["*"], routes },
    ];
    return [listener({ filter_chains: [managed({ route_config: { virtual_hosts } })] })];
  };
  const match = { prefix: "/" };
  const host = `${typed}.route_config.virtual_hosts[1]`;
  refused(
    () => create(routed({ ...direct, name: "one" }, { match, name: "two", route: { cluster: "nope" } })),
    `Cannot use ${host}.routes[1].route.cluster: cluster "nope" is not there ` +
      '(listener "in", virtual host "b", route "two")',
  );
  const weighted_clusters = {
    clusters: [
      { name: "up", weight: 1 },
      { name: "nope", weight: 1 },
    ],
  };
  refused(
    () => create(routed({ match, route: { weighted_clusters } }), [{ name: "up", type: "STATIC" }]),
    `Cannot use ${host}.routes[0].route.weighted_clusters.clusters[1].name: cluster "nope" is not there ` +
      '(listener "in", virtual host "b")',
  );
});

test("StandaloneSidecar names the field of an address that is none", () => {
  const socket = `${first}.address.socket_address`;
  refused(
    () => create([listener({ address: at("127.0.0.1", 99_999) })]),
    `Cannot read ${socket}.port_value: 99999 is not a port, wanted 0 to 65535 (listener "in")`,
  );
  refused(
    () => create([listener({ address: at("nowhere", 1) })]),
    `Cannot read ${socket}.address: "nowhere" is not an IP address (listener "in")`,
  );
  refused(
    () => parseBootstrap([JSON.stringify({ admin: { address: at("127.0.0.1", 65_536) } })]),
    "Cannot read admin.address.socket_address.port_value: 65536 is not a port, wanted 0 to 65535",
  );
});

test("StandaloneSidecar refuses what Envoy does: no stat_prefix, no terminal filter", () => {
  for (const more of [{ stat_prefix: "" }, { stat_prefix: undefined }])
    for (const one of [managed(more), tunnelled(more)])
      refused(
        () => create([listener({ filter_chains: [one] })], [{ name: "up", type: "STATIC" }]),
        `Cannot read ${typed}.stat_prefix: it is empty (listener "in")`,
      );
  const cors = { name: "cors", typed_config: { "@type": `${types}.filters.http.cors.v3.Cors` } };
  for (const [http_filters, last] of [
    [[], "none"],
    [undefined, "none"],
    [[cors], "cors"],
    [[router, cors], "cors"],
  ] as const)
    refused(
      () => create([listener({ filter_chains: [managed({ http_filters })] })]),
      `Cannot read ${typed}.http_filters: the last one is ${last}, wanted envoy.filters.http.router there alone ` +
        '(listener "in")',
    );
});

test("parseBootstrap() tells durations and times apart", () => {
  const cluster = { name: "up", connect_timeout: 1 };
  refused(
    () => create([], [cluster]),
    'Cannot read static_resources.clusters[0].connect_timeout: observed 1, wanted a text as "0.25s"',
  );
});

test("parseBootstrap() says where a text is no YAML, and where it has merge keys", () => {
  refused(
    () => parseBootstrap([{ name: "envoy.yaml", text: "node:\n  id: a: b\n" }]),
    "Cannot read bootstrap envoy.yaml: Nested mappings are not allowed in compact mappings at line 2, column 7",
  );
  // In quotes it is a name like others.
  const quoted = `node: { id: a, metadata: { "<<": 1 } }`;
  assert.deepEqual(parseBootstrap([quoted]).node.metadata, { "<<": 1 });
  const merging = "node: &node { id: a }\nstatic_resources: { clusters: [{ name: up, metadata: { <<: *node } }] }";
  refused(
    () => parseBootstrap([merging]),
    'Cannot use static_resources.clusters[0].metadata["<<"]: merge keys are not supported, nor are they in Envoy',
  );
  // An alias of a whole value is YAML, and Envoy's, too.
  parseBootstrap(["node: { id: &id a, cluster: *id }"]);
});

test("StandaloneSidecar names the access log that cannot be written, before anything is served", async () => {
  const logged = (path: string): StandaloneSidecar => {
    const typed_config = { "@type": `${types}.access_loggers.file.v3.FileAccessLog`, path };
    return create([listener({ filter_chains: [managed({ access_log: [{ name: "log", typed_config }] })] })]);
  };
  const field = `${typed}.access_log[0].typed_config.path`;
  const missing = join(folder, "none", "a.log");
  for (const [path, why] of [
    [missing, `ENOENT: no such file or directory, access '${join(folder, "none")}/'`],
    [folder, "EISDIR: it is a folder"],
    [join(folder, "file", "a.log"), `ENOTDIR: not a directory, access '${join(folder, "file")}/'`],
  ] as const) {
    writeFileSync(join(folder, "file"), "");
    const sidecar = logged(path);
    refused(() => sidecar.checkLogs(), `Cannot write ${field} (${path}): ${why} (listener "in")`);
    await sidecar.shutDown({ drainMs: 0 });
  }
  const fine = join(folder, "fine.log");
  const sidecar = logged(fine);
  sidecar.checkLogs();
  assert.equal(existsSync(fine), false);
  await sidecar.start();
  sidecar.checkLogs();
  assert.equal(existsSync(fine), true);
  await sidecar.shutDown({ drainMs: 0 });
  mkdirSync(join(folder, "late"));
  const late = logged(join(folder, "late", "a.log"));
  rmSync(join(folder, "late"), { recursive: true });
  await assert.rejects(late.start(), {
    code: "BAD_BOOTSTRAP",
    message: new RegExp(`^Cannot write ${escape(field)} \\(.*/late/a\\.log\\): ENOENT.* \\(listener "in"\\)$`),
  });
  await late.shutDown({ drainMs: 0 });
});

test("StandaloneSidecar names an unnamed listener by its place when its address is taken", async () => {
  const taken = createServer();
  await listen(taken, { address: "127.0.0.1", port: 0 }, { what: "test" });
  const { port } = addressOf(taken);
  try {
    for (const [name, what] of [
      [undefined, "static_resources\\.listeners\\[0\\]"],
      ["in", 'listener "in"'],
    ]) {
      const sidecar = create([listener({ name, address: at("127.0.0.1", port) })]);
      await assert.rejects(sidecar.start(), {
        message: new RegExp(`^Cannot bind ${what} 127\\.0\\.0\\.1:${port}: EADDR`),
      });
      await sidecar.shutDown({ drainMs: 0 });
    }
  } finally {
    taken.close();
  }
});

test("StandaloneSidecar listens at an IPv6 address for IPv6 alone, unless ipv4_compat is set, as Envoy does", async (t) => {
  if (!Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1")))
    return t.skip("there is no IPv6 here");
  for (const [ipv4_compat, wanted] of [
    [false, /^refused$/],
    [true, /^HTTP\/1\.1 /],
  ] as const) {
    const socket_address = { address: "::", port_value: 0, ipv4_compat };
    const sidecar = create([listener({ name: "in", address: { socket_address } })]);
    try {
      await sidecar.start();
      const { port } = sidecar.addresses.get("in")!;
      const answer = await fetch(`http://127.0.0.1:${port}/`).then(
        ({ status }) => `HTTP/1.1 ${status}`,
        () => "refused",
      );
      assert.match(answer, wanted);
    } finally {
      await sidecar.shutDown({ drainMs: 0 });
    }
  }
});
