/**
 * What a query gets, before it is written: an rcode, flags, and sections encoded for questions of one length.
 *
 *   plugins/* ─▶ Answer ─▶ wire/response.ts
 *
 * Plugins that change records take them out with `recordsOf` and make another answer with `answerOf`. Immutable: the
 * same value answers many queries.
 */
import { flags, headerBytes, rcodes } from "./wire/constants.ts";
import { decodeMessage } from "./wire/message.ts";
import type { Query } from "./wire/query.ts";
import { emptySections, encodeSections, type Records, type RR, type Sections } from "./wire/record.ts";

/** How long something is true. */
export interface Validity {
  /** Once true, true for ever. */
  readonly isOver: boolean;
}

export interface Answer {
  readonly rcode: number;
  /** AA, TC, RA, AD: bits of the header's second word. */
  readonly flags: number;
  readonly sections: Sections;
  /** Which plugin answered: as in a Corefile, and in the metric label `plugin`. */
  readonly plugin: string;
  /** Why it failed, in words for the log. Undefined: nothing is known but the rcode. */
  readonly reason: string | undefined;
  /** How long the records lay in a cache: TTLs are less by this. */
  readonly ageSeconds: number;
  /** From data that changes without notice of a TTL: never to be cached. */
  readonly isLive: boolean;
  /** EDNS options to add, encoded. */
  readonly options: Uint8Array | undefined;
  /** While it is not over the same question gets the same answer of its plugin. Undefined: nobody knows. */
  readonly validity: Validity | undefined;
  /** The messages of a zone transfer behind this one, each to the same question. Undefined: there is one message. */
  readonly more: readonly Answer[] | undefined;
}

const bare: Answer = {
  rcode: rcodes.noError,
  flags: 0,
  sections: emptySections,
  plugin: "",
  reason: undefined,
  ageSeconds: 0,
  isLive: false,
  options: undefined,
  validity: undefined,
  more: undefined,
};

/** An answer; what is not given is empty. All answers have one shape, which keeps the hot path fast. */
export function answerOf(given: Partial<Answer>): Answer {
  return { ...bare, ...given };
}

/** An answer without records. */
export function statusAnswer(rcode: number, plugin = ""): Answer {
  return { ...bare, rcode, plugin };
}

/** A positive answer with authority. */
export function authoritative(plugin: string, qname: string, records: Records): Answer {
  return { ...bare, plugin, flags: flags.authoritative, sections: encodeSections(qname, records) };
}

/** No response is sent at all. */
export const dropped: Answer = { ...bare, rcode: -1 };

export function isTruncated(answer: Answer): boolean {
  return (answer.flags & flags.truncated) !== 0;
}

/** The records of an answer to `query`, at their present TTLs. */
export function recordsOf({ name }: Query, { sections, ageSeconds }: Answer): Required<Records> {
  const base = headerBytes + name.length + 4;
  const bytes = Buffer.alloc(base + sections.bytes.length);
  bytes.writeUInt16BE(1, 4);
  for (const [index, count] of sections.counts.entries()) bytes.writeUInt16BE(count, 6 + 2 * index);
  bytes.write(name, headerBytes, "latin1");
  sections.bytes.copy(bytes, base);
  const { records } = decodeMessage(bytes) ?? { records: { answer: [], authority: [], additional: [] } };
  if (ageSeconds === 0) return records;
  const age = (all: readonly RR[]): readonly RR[] =>
    all.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - ageSeconds) }));
  return { answer: age(records.answer), authority: age(records.authority), additional: age(records.additional) };
}

/** The answer with other records, to `query`. */
export function withRecords(query: Query, answer: Answer, records: Records): Answer {
  return { ...answer, ageSeconds: 0, sections: encodeSections(query.name, records) };
}
