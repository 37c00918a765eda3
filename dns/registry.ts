/**
 * All plugins, in the order in which a query meets them. The Corefile's own order means nothing.
 *
 * Follows: CoreDNS' plugin.cfg.
 */
import type { PluginKind } from "./plugin.ts";
import { acl } from "./plugins/acl.ts";
import { autopath } from "./plugins/autopath.ts";
import { cache } from "./plugins/cache.ts";
import { dns64 } from "./plugins/dns64.ts";
import { auto, file } from "./plugins/file.ts";
import { forward } from "./plugins/forward.ts";
import { hosts } from "./plugins/hosts.ts";
import { k8sExternal } from "./plugins/k8s-external.ts";
import { kubernetes } from "./plugins/kubernetes.ts";
import { loadbalance } from "./plugins/loadbalance.ts";
import { loop } from "./plugins/loop.ts";
import { errors, log } from "./plugins/observe.ts";
import { health, inert, prometheus, ready, reload } from "./plugins/pages.ts";
import { rewrite } from "./plugins/rewrite.ts";
import { any, bind, bufsize, minimal, nsid, tls } from "./plugins/shape.ts";
import { template } from "./plugins/template.ts";
import { transfer } from "./plugins/transfer.ts";
import { view } from "./plugins/view.ts";
import { whoami } from "./plugins/whoami.ts";

export const pluginOrder: readonly PluginKind[] = [
  inert("metadata"),
  inert("cancel"),
  tls,
  reload,
  nsid,
  bufsize,
  bind,
  inert("debug"),
  ready,
  health,
  view,
  prometheus,
  errors,
  log,
  dns64,
  any,
  loadbalance,
  rewrite,
  acl,
  autopath,
  cache,
  minimal,
  template,
  transfer,
  hosts,
  k8sExternal,
  kubernetes,
  file,
  auto,
  loop,
  forward,
  whoami,
];
