/**
 * The dashboards keep Grafana's rules for portable dashboards, and ask only for metrics that there are.
 *
 * The rules are those of grafana/dashboard-linter, as far as they have a meaning here.
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { type Dashboard, type Panel, expressionsOf, metricsOf, readDashboards } from "./metrics-dashboard.ts";
import { knownMetrics } from "./metrics-known.ts";

const charts = join(import.meta.dirname, "..", "..", "charts");
const dashboards = readDashboards();
const panelsOf = ({ panels }: Dashboard): readonly Panel[] => panels.filter(({ type }) => type !== "row");
const prometheus = { type: "prometheus", uid: "${datasource}" };

describe("dashboards", () => {
  it("have their own uids and a schema that every supported Grafana reads", () => {
    assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, dashboards.length);
    for (const { uid, schemaVersion, editable, graphTooltip } of dashboards) {
      assert.match(uid, /^[a-z0-9-]{1,40}$/);
      assert.ok(schemaVersion >= 39 && schemaVersion <= 42, `${uid}: schemaVersion ${schemaVersion}`);
      assert.deepEqual([editable, graphTooltip], [false, 1]);
    }
  });

  it("let the user choose the data source, and use it everywhere", () => {
    for (const dashboard of dashboards) {
      const [first, ...others] = dashboard.templating.list;
      assert.deepEqual([first?.name, first?.type, first?.query], ["datasource", "datasource", "prometheus"]);
      for (const { datasource, refresh } of others) assert.deepEqual([datasource, refresh], [prometheus, 2]);
      for (const { title, datasource, targets = [] } of panelsOf(dashboard))
        for (const source of [datasource, ...targets.map((target) => target.datasource)])
          assert.deepEqual(source, prometheus, title);
    }
  });

  it("have panels with a title, a description, a unit and a target each, which do not overlap", () => {
    for (const dashboard of dashboards) {
      const ids = dashboard.panels.map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length, "ids are unique");
      const taken = new Set<string>();
      for (const { title, gridPos } of dashboard.panels) {
        assert.ok(gridPos.x + gridPos.w <= 24, `${title} ends outside`);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            assert.ok(!taken.has(`${x},${y}`), `${title} overlaps at ${x},${y}`);
            taken.add(`${x},${y}`);
          }
      }
      for (const { title, description, fieldConfig, targets = [] } of panelsOf(dashboard)) {
        assert.ok(title !== "" && (description ?? "").endsWith("."), `${title} says what it shows`);
        assert.ok((fieldConfig?.defaults.unit ?? "") !== "", `${title} has a unit`);
        assert.ok(targets.length > 0, `${title} has targets`);
        assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
      }
    }
  });

  it("take rates over $__rate_interval, of counters and histograms only", () => {
    for (const expression of dashboards.flatMap(expressionsOf)) {
      for (const [, range] of expression.matchAll(/\[([^\]]*)\]/g)) assert.equal(range, "$__rate_interval", expression);
      for (const [, metric = ""] of expression.matchAll(/\brate\((\w+)/g))
        assert.match(metric, /_(total|bucket|sum|count)$/, expression);
      for (const [, metric = ""] of expression.matchAll(/(?<!rate\()\b(\w+_total)\b/g))
        assert.fail(`${metric} without rate() in ${expression}`);
    }
  });

  it("ask only for metrics that are exposed", () => {
    const known = knownMetrics();
    for (const expression of dashboards.flatMap(expressionsOf))
      for (const metric of metricsOf(expression)) assert.ok(known.has(metric), `${metric} of ${expression}`);
  });

  it("are provisioned beside a data source of `wherry prometheus`", () => {
    const folder = join(charts, "grafana", "provisioning");
    const [source] = readdirSync(join(folder, "datasources"));
    const { datasources } = parse(readFileSync(join(folder, "datasources", source!), "utf8")) as {
      datasources: { type: string; url: string; jsonData: { timeInterval: string } }[];
    };
    const scrape = parse(readFileSync(join(charts, "prometheus", "prometheus.yaml"), "utf8")) as {
      global: { scrape_interval: string };
    };
    assert.deepEqual(
      datasources.map(({ type, url }) => [type, url]),
      [["prometheus", "http://127.0.0.1:9090"]],
    );
    assert.equal(datasources[0]?.jsonData.timeInterval, scrape.global.scrape_interval);
    const [provider] = readdirSync(join(folder, "dashboards"));
    const { providers } = parse(readFileSync(join(folder, "dashboards", provider!), "utf8")) as {
      providers: { type: string; folderUid: string }[];
    };
    assert.deepEqual(
      providers.map(({ type, folderUid }) => [type, folderUid]),
      [["file", "wherry"]],
    );
  });
});
