/**
 * The messages of the built-in kinds, read from their tables.
 *
 *   core.ts, workloads.ts, … (text) ─▶ messageOf("core.Pod") ─▶ fields by number ─▶ decode.ts
 *
 * Notation: `PodSpec: nodeName=10:s? tolerations=22:Toleration[] nodeSelector=7:s{}`. Types: `s` text, `i` whole
 * number, `b` true or false, `d` number, `x` bytes, `time`, `quantity`, `intOrString`, `raw` JSON, else a message,
 * of this table unless it names another. `[]` list, `{}` map by text; `?` left out when zero, as Go's omitempty; the
 * name `@` means that the message's fields are the parent's.
 */
import { assert } from "#lib/assert.ts";
import { coreMessages } from "./core.ts";
import { metaMessages } from "./meta.ts";
import { coordinationMessages, discoveryMessages, networkingMessages } from "./network.ts";
import { authenticationMessages, authorizationMessages } from "./reviews.ts";
import { appsMessages, autoscalingMessages, batchMessages, policyMessages } from "./workloads.ts";

export interface Field {
  /** The JSON name; `@`: the fields of the message belong to the parent. */
  readonly name: string;
  /** A scalar's letter, or a message as `core.PodSpec`. */
  readonly type: string;
  readonly form: "single" | "list" | "map";
  readonly omitZero: boolean;
}

export type Message = ReadonlyMap<number, Field>;

const tables: Readonly<Record<string, string>> = {
  meta: metaMessages,
  core: coreMessages,
  apps: appsMessages,
  batch: batchMessages,
  policy: policyMessages,
  autoscaling: autoscalingMessages,
  networking: networkingMessages,
  discovery: discoveryMessages,
  coordination: coordinationMessages,
  authentication: authenticationMessages,
  authorization: authorizationMessages,
};

const scalars: readonly string[] = ["s", "i", "b", "d", "x", "time", "quantity", "intOrString", "raw"];

/** The message with this name; undefined when no table has it. Tables are read at the first use. */
export function messageOf(name: string): Message | undefined {
  messages ??= new Map(Object.entries(tables).flatMap(([prefix, table]) => readTable(prefix, table)));
  return messages.get(name);
}

let messages: ReadonlyMap<string, Message> | undefined;

function readTable(prefix: string, table: string): (readonly [string, Message])[] {
  // A line that is indented goes on with the message above.
  const paragraphs = table.trim().replaceAll("\n  ", " ").split("\n");
  return paragraphs.map((paragraph) => {
    const [name = "", ...fields] = paragraph.split(" ").filter((word) => word !== "");
    return [`${prefix}.${name.replace(":", "")}`, new Map(fields.map((field) => readField(prefix, field)))];
  });
}

function readField(prefix: string, text: string): readonly [number, Field] {
  const match = /^(@|\w+)=(\d+):([\w.]+)(\[\]|\{\})?(\?)?$/.exec(text);
  assert(match !== null, `a field of the protobuf tables is unreadable: ${text}`);
  const [, name = "", number = "", type = "", form, zero] = match;
  const isKnown = scalars.includes(type) || type.includes(".");
  return [
    Number(number),
    {
      name,
      type: isKnown ? type : `${prefix}.${type}`,
      form: form === "[]" ? "list" : form === "{}" ? "map" : "single",
      omitZero: zero === "?",
    },
  ];
}
