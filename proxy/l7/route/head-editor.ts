/**
 * A request or response head that is being changed: one copy is made with the first change, none without.
 *
 *   RequestHead ─▶ HeadEditor ─▶ set(), add(), remove(), setTarget(), setHost() ─▶ finish() ─▶ RequestHead
 *
 * Invariant: heads are immutable; finish() gives the very same object when nothing was changed.
 */
import type { Headers } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";

interface MutableHeaders {
  readonly names: string[];
  readonly keys: string[];
  readonly values: string[];
}

/** The header block of either head. */
export class HeadersEditor {
  readonly #received: Headers;
  #copy: MutableHeaders | undefined;

  constructor(headers: Headers) {
    this.#received = headers;
  }

  get headers(): Headers {
    return this.#copy ?? this.#received;
  }

  get isChanged(): boolean {
    return this.#copy !== undefined;
  }

  /** The first value of `key` (lower case). */
  get(key: string): string | undefined {
    const index = this.headers.keys.indexOf(key);
    return index < 0 ? undefined : this.headers.values[index];
  }

  has(key: string): boolean {
    return this.headers.keys.includes(key);
  }

  /** One header of that name with that value, whatever was there. */
  set(name: string, value: string): void {
    const key = name.toLowerCase();
    const at = this.headers.keys.indexOf(key);
    if (at < 0) return this.append(name, value);
    if (this.headers.values[at] === value && !this.headers.keys.includes(key, at + 1)) return;
    const copy = this.#mutable();
    copy.values[at] = value;
    for (let next = copy.keys.indexOf(key, at + 1); next >= 0; next = copy.keys.indexOf(key, next)) this.#cut(next);
  }

  /** One more line. */
  append(name: string, value: string): void {
    const copy = this.#mutable();
    copy.names.push(name);
    copy.keys.push(name.toLowerCase());
    copy.values.push(value);
  }

  /** Every line of that name (lower case). */
  remove(key: string): void {
    if (!this.headers.keys.includes(key)) return;
    const { keys } = this.#mutable();
    for (let at = keys.indexOf(key); at >= 0; at = keys.indexOf(key)) this.#cut(at);
  }

  #cut(at: number): void {
    const copy = this.#mutable();
    copy.names.splice(at, 1);
    copy.keys.splice(at, 1);
    copy.values.splice(at, 1);
  }

  #mutable(): MutableHeaders {
    const { names, keys, values } = this.#received;
    this.#copy ??= { names: [...names], keys: [...keys], values: [...values] };
    return this.#copy;
  }
}

/** A request's head: its header block, its target and its host. */
export class HeadEditor extends HeadersEditor {
  readonly #head: RequestHead;
  #target: string;
  #host: string;

  constructor(head: RequestHead) {
    super(head.headers);
    this.#head = head;
    this.#target = head.target;
    this.#host = head.host;
  }

  get target(): string {
    return this.#target;
  }

  get host(): string {
    return this.#host;
  }

  get path(): string {
    const mark = this.#target.indexOf("?");
    return mark < 0 ? this.#target : this.#target.slice(0, mark);
  }

  setTarget(target: string): void {
    this.#target = target;
  }

  /** The host in the head and in its Host header, where there is one. */
  setHost(host: string): void {
    this.#host = host.toLowerCase();
    // Its target is its host.
    if (this.#head.method === "CONNECT") this.#target = this.#host;
    if (this.has("host")) this.set("Host", host);
    else if (this.#head.host === "") this.append("Host", host);
  }

  /** The head as it stands now: what was received when nothing was changed. */
  finish(): RequestHead {
    const head = this.#head;
    if (!this.isChanged && this.#target === head.target && this.#host === head.host) return head;
    if (head.method === "CONNECT") return { ...head, target: this.#target, host: this.#host, headers: this.headers };
    const mark = this.#target.indexOf("?");
    return {
      ...head,
      target: this.#target,
      path: mark < 0 ? this.#target : this.#target.slice(0, mark),
      query: mark < 0 ? "" : this.#target.slice(mark + 1),
      host: this.#host,
      headers: this.headers,
    };
  }
}
