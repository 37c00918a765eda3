/**
 * Reads one protobuf message in JSON form, and refuses what nobody read: a field that is not supported is never
 * ignored.
 *
 *   unknown (from the control plane or a file) ─▶ Reader ─▶ config/{listener,route,cluster}.ts
 *
 * A field that holds its proto3 default ("", 0, false, empty, null) says nothing, so it passes unread.
 * Invariant: each error names the path of the field, as in "filter_chains[0].filters[0].typed_config.rds".
 */
import { CodedError } from "#lib/errors.ts";

export type ConfigErrorCode =
  | "UNSUPPORTED" // a field or value that the engine does not have
  | "BAD_VALUE" // a value of the wrong type or out of range
  | "MISSING"; // a field that must be there

/** Makes the NACK: the message starts with the resource and the field's path. */
export class ConfigError extends CodedError<ConfigErrorCode> {}

type Fields = Readonly<Record<string, unknown>>;

export class Reader {
  /** Empty: of the whole file. */
  readonly path: string;
  readonly #fields: Fields;
  readonly #read = new Set<string>(["@type"]);

  constructor(value: unknown, path: string) {
    this.path = path;
    if (!isObject(value)) throw new ConfigError("BAD_VALUE", `Cannot read ${path}: it is not an object`);
    this.#fields = value;
  }

  /** The path of a field of this message. */
  at(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  has(name: string): boolean {
    return !isDefault(this.#fields[name]);
  }

  /** True when the field is there, be it with its default: members of a oneof are told apart so. */
  isSet(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  /** The value as it came, for a message that has a reader of its own. */
  raw(name: string): unknown {
    return this.#take(name);
  }

  text(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "string") throw this.bad(name, "it is not a string");
    return value;
  }

  wantText(name: string): string {
    const value = this.text(name);
    if (value === undefined || value === "")
      throw new ConfigError("MISSING", `Cannot read ${this.at(name)}: it is empty`);
    return value;
  }

  flag(name: string): boolean | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    // BoolValue comes as the bare value or, from some decoders, wrapped.
    const bare = isObject(value) ? (value["value"] ?? false) : value;
    if (typeof bare !== "boolean") throw this.bad(name, "it is not a boolean");
    return bare;
  }

  /** An integer of at least `min`. */
  integer(name: string, min: number): number | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    const bare = isObject(value) ? (value["value"] ?? 0) : value;
    const number = typeof bare === "string" ? Number(bare) : bare;
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < min)
      throw this.bad(name, `it is not an integer of at least ${min}`);
    return number;
  }

  /** A duration in ms; proto3 JSON has it as "1.5s". */
  durationMs(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const seconds = text.endsWith("s") && text.length > 1 ? Number(text.slice(0, -1)) : Number.NaN;
    if (!(seconds >= 0)) throw this.bad(name, `${JSON.stringify(text)} is not a duration like "1.5s"`);
    return seconds * 1000;
  }

  /** A number that need not be whole. */
  number(name: string, min: number): number | undefined {
    const value = this.#take(name);
    if (value === undefined || value === null) return undefined;
    const bare = isObject(value) ? (value["value"] ?? 0) : value;
    if (typeof bare !== "number" || !(bare >= min)) throw this.bad(name, `it is not a number of at least ${min}`);
    return bare;
  }

  object(name: string): Reader | undefined {
    const value = this.#take(name);
    return value === undefined || value === null ? undefined : new Reader(value, this.at(name));
  }

  wantObject(name: string): Reader {
    const reader = this.object(name);
    if (reader === undefined) throw new ConfigError("MISSING", `Cannot read ${this.at(name)}: it is not there`);
    return reader;
  }

  list(name: string): readonly Reader[] {
    return this.#array(name).map((item, at) => new Reader(item, `${this.at(name)}[${at}]`));
  }

  texts(name: string): readonly string[] {
    return this.#array(name).map((item) => {
      if (typeof item !== "string") throw this.bad(name, "it is not a list of strings");
      return item;
    });
  }

  integers(name: string, min: number, max: number): readonly number[] {
    return this.#array(name).map((item) => {
      if (typeof item !== "number" || !Number.isSafeInteger(item) || item < min || item > max)
        throw this.bad(name, `it is not a list of integers from ${min} to ${max}`);
      return item;
    });
  }

  /** The entries of a map of messages, each with its own path. */
  entries(name: string): readonly (readonly [key: string, value: Reader])[] {
    const value = this.#take(name);
    if (value === undefined || value === null) return [];
    if (!isObject(value)) throw this.bad(name, "it is not an object");
    return Object.entries(value).map(([key, item]) => [key, new Reader(item, `${this.at(name)}["${key}"]`)] as const);
  }

  /** One of `allowed`, or undefined when the field is not there. */
  oneOf<Text extends string>(name: string, allowed: readonly Text[]): Text | undefined {
    const value = this.text(name);
    if (value === undefined || value === "") return undefined;
    const found = allowed.find((text) => text === value);
    if (found === undefined) throw this.unsupported(name, `${JSON.stringify(value)}, wanted ${allowed.join(" or ")}`);
    return found;
  }

  /** Marks fields that are allowed and have no effect here. */
  ignore(...names: readonly string[]): this {
    for (const name of names) this.#read.add(name);
    return this;
  }

  /** Fields that may only say what is done anyway: `allowed` are such values, beside the default. */
  allow(name: string, allowed: readonly (string | number | boolean)[], why: string): this {
    const value = this.#take(name);
    const bare = isObject(value) && "value" in value ? value["value"] : value;
    const isAllowed = bare === undefined || bare === null || allowed.includes(bare as string);
    if (!isAllowed) throw this.unsupported(name, `${JSON.stringify(bare)}, ${why}`);
    return this;
  }

  /** Refuses every field that was not read. */
  done(): void {
    for (const [name, value] of Object.entries(this.#fields))
      if (!this.#read.has(name) && !isDefault(value)) throw this.unsupported(name, "the field is not supported");
  }

  bad(name: string, why: string): ConfigError {
    return new ConfigError("BAD_VALUE", `Cannot read ${this.at(name)}: ${why}`);
  }

  unsupported(name: string, why: string): ConfigError {
    return new ConfigError("UNSUPPORTED", `Cannot use ${this.at(name)}: ${why}`);
  }

  #take(name: string): unknown {
    this.#read.add(name);
    return this.#fields[name];
  }

  #array(name: string): readonly unknown[] {
    const value = this.#take(name);
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) throw this.bad(name, "it is not a list");
    return value;
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDefault(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}
