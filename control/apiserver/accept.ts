/**
 * The Accept header: which form of an answer a client wants. Pure.
 *
 *   Accept ─▶ parseAccept() ─▶ media ranges, best first ─▶ chooseForm(), chooseDiscovery()
 *
 * Answers are JSON. A client that asks for protobuf first and JSON second, as kubectl does, gets JSON.
 * Follows: RFC 9110 section 12.5.1, without quality values: no Kubernetes client sends them.
 */

/** Most media ranges read of one header; the rest are left out. */
const rangesMax = 32;

interface MediaRange {
  /** `application/json`, lower case. */
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** What becomes of objects before they are sent. */
export type Form = "plain" | "table/v1" | "table/v1beta1" | "partial";

/** The media ranges in order. An empty header accepts everything. */
export function parseAccept(accept: string): readonly MediaRange[] {
  if (accept.trim() === "") return [{ type: "*/*", parameters: new Map() }];
  return accept
    .split(",", rangesMax)
    .map((range) => {
      const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
      const pairs = parameters.map((parameter): [string, string] => {
        const equals = parameter.indexOf("=");
        return equals < 0 ? [parameter, ""] : [parameter.slice(0, equals), parameter.slice(equals + 1)];
      });
      return { type: type.toLowerCase(), parameters: new Map(pairs) };
    })
    .filter(({ type }) => type !== "");
}

/** The form of the first range that this server can give; undefined when it can give none of them. */
export function chooseForm(accept: string): Form | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (!isJSON(type)) continue;
    const [as = "", group, version] = ["as", "g", "v"].map((name) => parameters.get(name));
    if (as === "") return "plain";
    if (group !== "meta.k8s.io") continue;
    if (as === "Table" && version === "v1") return "table/v1";
    if (as === "Table" && version === "v1beta1") return "table/v1beta1";
    if ((as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") && version === "v1") return "partial";
  }
  return undefined;
}

/** The version of the aggregated discovery document that is wanted; undefined: the legacy documents. */
export function chooseDiscovery(accept: string): "v2" | "v2beta1" | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (!isJSON(type)) continue;
    if (parameters.get("as") === undefined) return undefined;
    const version = parameters.get("v");
    const isWanted = parameters.get("g") === "apidiscovery.k8s.io" && parameters.get("as") === "APIGroupDiscoveryList";
    if (isWanted && (version === "v2" || version === "v2beta1")) return version;
  }
  return undefined;
}

function isJSON(type: string): boolean {
  return type === "application/json" || type === "application/*" || type === "*/*";
}
