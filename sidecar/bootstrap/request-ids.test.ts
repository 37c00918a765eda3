/** The x-request-id of an access log is the one that the upstream was sent. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { raw, startAnswering, staticCluster } from "#proxy/l7/fixture.ts";
import { startStandalone } from "./fixture.ts";

const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}Connection: close\r\n\r\n`;
const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

for (const format of [
  { text_format_source: { inline_string: "%REQ(X-REQUEST-ID)%\n" } },
  { json_format: { a: ["%REQ(X-None?x-request-id)%"] } },
])
  test(`Access logs have the id that is sent, made or received, in ${Object.keys(format)[0]}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "wherry-ids-"));
    const path = join(folder, "log");
    await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const access_log = [
      {
        name: "log",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
          path,
          log_format: format,
        },
      },
    ];
    const routes = [
      { match: { path: "/here" }, direct_response: { status: 200 } },
      { match: { prefix: "/" }, route: { cluster: "up" } },
    ];
    {
      const clusters = [staticCluster("up", [upstream.port])];
      await using standalone = await startStandalone({ clusters, routes, manager: { access_log } });
      await raw(standalone.port, get("/"));
      await raw(standalone.port, get("/", "X-Request-Id: mine\r\n"));
      await raw(standalone.port, get("/here"));
    }
    const sent = [...upstream.received.join("").matchAll(/x-request-id: (.*)\r\n/gi)].map(([, id]) => id);
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    rmSync(folder, { recursive: true });
    const logged = lines.map((line) => line.replace(/[^\w-]/g, "").replace(/^a(?=.{36}$|mine$)/, ""));
    assert.deepEqual(logged.slice(0, 2), sent);
    assert.match(sent[0]!, new RegExp(`^${uuid}$`));
    assert.equal(sent[1], "mine");
    assert.match(logged[2]!, new RegExp(`^${uuid}$`));
    assert.notEqual(logged[2], logged[0]);
  });

for (const preserve_external_request_id of [false, true])
  test(`An edge ${preserve_external_request_id ? "keeps ids of outside where it shall" : "makes ids of its own"}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "wherry-ids-"));
    const path = join(folder, "log");
    await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const typed_config = {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path,
      log_format: { text_format_source: { inline_string: "%REQ(X-REQUEST-ID)%\n" } },
    };
    const access_log = [{ name: "log", typed_config }];
    const header = { key: "X-Copy", value: "%REQ(X-REQUEST-ID)%" };
    const routes = [{ match: { prefix: "/" }, route: { cluster: "up" }, request_headers_to_add: [{ header }] }];
    {
      const clusters = [staticCluster("up", [upstream.port])];
      const manager = { access_log, use_remote_address: true, preserve_external_request_id };
      await using standalone = await startStandalone({ clusters, routes, manager });
      await raw(standalone.port, get("/", "X-Request-Id: mine\r\nx-request-id: mine too\r\n"));
    }
    const logged = readFileSync(path, "utf8").trimEnd();
    rmSync(folder, { recursive: true });
    const ids = [...upstream.received.join("").matchAll(/(?:x-request-id|x-copy): (.*)\r\n/gi)].map(([, id]) => id);
    assert.deepEqual(ids, [logged, logged]);
    assert.match(logged, preserve_external_request_id ? /^mine$/ : new RegExp(`^${uuid}$`));
  });
