/**
 * How a route rewrites paths and hosts. Pure.
 *
 *   Reader of a RouteAction or RedirectAction ─▶ readRewrites(), readPathRewrite() ─▶ route/rewrite.ts
 *
 * Source: envoy.config.route.v3.RouteAction, envoy.extensions.path.rewrite.uri_template.v3.
 */
import type { HostRewrite, PathRewrite } from "../route/types.ts";
import { compileTemplateRewrite } from "../route/uri-template.ts";
import { type CompiledMatch, readRegexRewrite } from "./match.ts";
import type { Reader } from "./reader.ts";

/** Of path and host. */
export interface Rewrites {
  readonly path: PathRewrite | undefined;
  readonly host: HostRewrite | undefined;
  readonly appendsForwardedHost: boolean;
}

export const noRewrites: Rewrites = { path: undefined, host: undefined, appendsForwardedHost: false };

/** The rewrites of a route action. */
export function readRewrites(action: Reader, match: CompiledMatch): Rewrites {
  const path = readPathRewrite(action, match);
  const hosts = ["host_rewrite_literal", "auto_host_rewrite", "host_rewrite_header", "host_rewrite_path_regex"];
  const [field, second] = hosts.filter((name) => action.has(name));
  if (second !== undefined) throw action.bad(second, `it does not go with ${field!}`);
  return {
    path,
    host: field === undefined ? readNoHost(action) : readHostRewrite(action, field),
    appendsForwardedHost: action.flag("append_x_forwarded_host") ?? false,
  };
}

/** A false auto_host_rewrite says nothing. */
function readNoHost(action: Reader): undefined {
  action.ignore("auto_host_rewrite");
}

function readHostRewrite(action: Reader, field: string): HostRewrite | undefined {
  switch (field) {
    case "host_rewrite_literal":
      return { kind: "literal", host: action.wantText(field) };
    case "host_rewrite_header":
      return { kind: "header", key: action.wantText(field).toLowerCase() };
    case "host_rewrite_path_regex": {
      const rewrite = readRegexRewrite(action, field);
      return rewrite && { kind: "pathRegex", rewrite };
    }
    default:
      return action.flag("auto_host_rewrite") === true ? { kind: "endpoint" } : undefined;
  }
}

const uriTemplateRewrite = "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";

/** prefix_rewrite, regex_rewrite or path_rewrite_policy, of actions and redirects alike. */
export function readPathRewrite(reader: Reader, match: CompiledMatch): PathRewrite | undefined {
  const fields = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy"].filter((name) => reader.has(name));
  const [field, second] = fields;
  if (second !== undefined) throw reader.bad(second, `it does not go with ${field!}`);
  if (field === undefined) return undefined;
  if (field === "prefix_rewrite") return { kind: "prefix", matched: match.matchedPath, to: reader.wantText(field) };
  if (field === "regex_rewrite") {
    const rewrite = readRegexRewrite(reader, field);
    return rewrite && { kind: "regex", rewrite };
  }
  const config = reader.wantObject(field).ignore("name").wantObject("typed_config");
  config.oneOf("@type", [uriTemplateRewrite]);
  if (match.template === undefined) throw reader.bad(field, "it wants a path_match_policy in the match");
  const { regex, variables } = match.template;
  const substitution = compileTemplateRewrite(config.wantText("path_template_rewrite"), variables, (why) =>
    config.bad("path_template_rewrite", why),
  );
  config.done();
  return { kind: "template", regex, substitution };
}
