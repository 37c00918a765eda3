/**
 * The shapes of all protobuf messages that Wherry speaks, read from build/xds.json on first use.
 *
 *   compile.ts ─▶ build/xds.json ─▶ here ─▶ codec/encode.ts, codec/decode.ts
 *
 * Invariant: a message's index is built once, when first asked for; a process that speaks ten messages pays for ten.
 */
import { readFileSync } from "node:fs";
import { CodecError } from "./errors.ts";

/**
 * name, field number, type (a scalar's name or a full name), how many, oneof.
 * How many: absent is one without presence (zero is absent), `optional` one with presence, `one` a member of a oneof.
 */
export type FieldRow = readonly [name: string, id: number, type: string, count?: string, oneof?: string];

export interface DescriptorTable {
  readonly messages: Readonly<Record<string, readonly FieldRow[]>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface Field {
  readonly name: string;
  readonly id: number;
  /** A scalar's name (`uint32`, `string`, …) or the full name of a message or enum. */
  readonly type: string;
  readonly kind: "scalar" | "enum" | "message";
  readonly list: boolean;
  /** The scalar type of a map's keys; absent when the field is no map. */
  readonly mapKey: string | undefined;
  /** Whether zero and absent differ. */
  readonly presence: boolean;
  readonly oneof: string | undefined;
}

export interface Message {
  readonly name: string;
  readonly fields: readonly Field[];
  /** By snake_case name, and by the lowerCamelCase name that proto3 JSON allows as well. */
  readonly byName: ReadonlyMap<string, Field>;
  readonly byId: ReadonlyMap<number, Field>;
}

export interface Enum {
  readonly numbers: Readonly<Record<string, number>>;
  readonly names: ReadonlyMap<number, string>;
}

const tablePath = new URL("../../build/xds.json", import.meta.url);
const messages = new Map<string, Message>();
const enums = new Map<string, Enum>();
let table: DescriptorTable | undefined;

/** The message of that full name (`envoy.config.cluster.v3.Cluster`), or undefined when Wherry does not speak it. */
export function findMessage(name: string): Message | undefined {
  const known = messages.get(name);
  if (known !== undefined) return known;
  const { messages: rowsOf } = loadTable();
  const rows = Object.hasOwn(rowsOf, name) ? rowsOf[name] : undefined;
  if (rows === undefined) return undefined;
  const message = toMessage(name, rows);
  messages.set(name, message);
  return message;
}

/** The enum of that full name. */
export function findEnum(name: string): Enum {
  const known = enums.get(name);
  if (known !== undefined) return known;
  const numbers = loadTable().enums[name] ?? {};
  const names = new Map<number, string>();
  // The first name of an aliased number is its name.
  for (const [text, number] of Object.entries(numbers)) if (!names.has(number)) names.set(number, text);
  const made = { numbers, names };
  enums.set(name, made);
  return made;
}

function loadTable(): DescriptorTable {
  if (table !== undefined) return table;
  try {
    table = JSON.parse(readFileSync(tablePath, "utf8")) as DescriptorTable;
    return table;
  } catch (cause) {
    throw new CodecError("no_descriptors", "Cannot read xDS descriptors build/xds.json: run `npm run prepare` first", {
      cause,
    });
  }
}

function toMessage(name: string, rows: readonly FieldRow[]): Message {
  const fields = rows.map(toField);
  const byName = new Map<string, Field>();
  for (const field of fields) byName.set(camelCase(field.name), field);
  for (const field of fields) byName.set(field.name, field);
  return { name, fields, byName, byId: new Map(fields.map((field) => [field.id, field])) };
}

function toField([name, id, type, count, oneof]: FieldRow): Field {
  const kind = !type.includes(".") ? "scalar" : Object.hasOwn(loadTable().enums, type) ? "enum" : "message";
  const mapKey = count?.startsWith("map:") === true ? count.slice(4) : undefined;
  return {
    name,
    id,
    type,
    kind,
    list: count === "repeated" || count === "packed",
    mapKey,
    presence: count === "one" || count === "optional" || kind === "message",
    oneof,
  };
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
