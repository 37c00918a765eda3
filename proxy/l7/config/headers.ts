/**
 * request_headers_to_add and its like → HeaderMutations. Pure.
 *
 *   Reader of a route, virtual host, table or weighted cluster ─▶ readMutations() ─▶ route/mutate.ts
 *
 * Source: envoy.config.core.v3.HeaderValueOption; names that Envoy does not let anybody change are refused here, too.
 */
import { compileTemplate } from "../accesslog/template.ts";
import type { AppendAction, HeaderAdd, HeaderMutations } from "../route/types.ts";
import type { Reader } from "./reader.ts";

const actions: Readonly<Record<string, AppendAction>> = {
  APPEND_IF_EXISTS_OR_ADD: "append",
  ADD_IF_ABSENT: "addIfAbsent",
  OVERWRITE_IF_EXISTS_OR_ADD: "overwrite",
  OVERWRITE_IF_EXISTS: "overwriteIfExists",
};

/** Most headers added at one level, as in Envoy. */
const addsMax = 1000;

/** The mutations of `<side>_headers_to_add` and `<side>_headers_to_remove`, or undefined when there are none. */
export function readMutations(reader: Reader, side: "request" | "response"): HeaderMutations | undefined {
  const adds = readHeaderAdds(reader, `${side}_headers_to_add`);
  const removing = `${side}_headers_to_remove`;
  const removes = reader.texts(removing).map((name) => {
    const key = name.toLowerCase();
    if (key === "host" || key.startsWith(":") || key === "")
      throw reader.bad(removing, `${JSON.stringify(name)} may not be removed`);
    return key;
  });
  return adds.length === 0 && removes.length === 0 ? undefined : { adds, removes };
}

/** A list of HeaderValueOption. */
export function readHeaderAdds(reader: Reader, name: string): readonly HeaderAdd[] {
  const entries = reader.list(name);
  if (entries.length > addsMax) throw reader.bad(name, `it has more than ${addsMax} entries`);
  return entries.map(readHeaderAdd);
}

/** One HeaderValueOption. */
export function readHeaderAdd(reader: Reader): HeaderAdd {
  const header = reader.wantObject("header");
  const name = header.wantText("key");
  const key = name.toLowerCase();
  if (key === "host" || key.startsWith(":"))
    throw header.bad("key", `${JSON.stringify(name)} may not be set so, wanted a rewrite of the route`);
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw header.bad("key", "it is not a header name");
  // A head is bytes, a character each: UTF-8, as Envoy has it. Of any other character only the low byte would be sent.
  const value = Buffer.from(header.text("value") ?? "", "utf8").toString("latin1");
  if (/[\r\n\0]/.test(value)) throw header.bad("value", "it has a line break or a zero byte");
  const template = compileTemplate(value, (why) => header.bad("value", why));
  header.done();
  const action = readAction(reader);
  const keepsEmpty = reader.flag("keep_empty_value") ?? false;
  reader.done();
  return { name, key, value: template, action, keepsEmpty };
}

/** append_action, or the flag from before it. */
function readAction(reader: Reader): AppendAction {
  const action = reader.oneOf("append_action", Object.keys(actions));
  const append = reader.flag("append");
  if (append !== undefined) return append ? "append" : "overwrite";
  return action === undefined ? "append" : actions[action]!;
}
