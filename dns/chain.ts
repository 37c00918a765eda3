/**
 * The order in which plugins see a query: the first that answers wins.
 *
 *   Query ─▶ kubernetes ─▶ refuse ─▶ Answer
 *
 * The law (CoreDNS' plugin.cfg): what answers from the cluster stands before what would ask an upstream; the last
 * one always answers. Cache, hosts and forward will stand between these two.
 */
import { classIN, rcodes } from "./wire/constants.ts";
import type { Query } from "./wire/query.ts";
import { emptySections } from "./wire/record.ts";
import type { Answer } from "./wire/response.ts";
import type { Zone } from "./zone.ts";

export interface Plugin {
  /** As in a Corefile, and in the metric label `plugin`. */
  readonly name: string;
  /** The answer, or undefined to leave the query to the next plugin. Synchronous, and never throws. */
  answer(query: Query): Answer | undefined;
}

export interface ChainOptions {
  readonly zone: Zone;
  /** Whether the zone holds all Services. */
  readonly isSynced: () => boolean;
  /** Called with each name that is outside the zone. */
  readonly onRefused: (query: Query) => void;
}

export interface Chained {
  readonly plugin: string;
  readonly answer: Answer;
}

const refused: Answer = { rcode: rcodes.refused, isAuthoritative: false, sections: emptySections };
const failed: Answer = { rcode: rcodes.servFail, isAuthoritative: false, sections: emptySections };

export function createChain(options: ChainOptions): readonly Plugin[] {
  return [kubernetes(options), refuse(options)];
}

/** Asks the plugins in order. */
export function answerBy(chain: readonly Plugin[], query: Query): Chained {
  for (const plugin of chain) {
    const answer = plugin.answer(query);
    if (answer !== undefined) return { plugin: plugin.name, answer };
  }
  return { plugin: "", answer: failed };
}

/** Names of the cluster. What is missing before everything is known is SERVFAIL: NXDOMAIN would be believed. */
function kubernetes({ zone, isSynced }: ChainOptions): Plugin {
  return {
    name: "kubernetes",
    answer(query) {
      if (query.class !== classIN) return undefined;
      const owner = zone.zoneOf(query.name);
      if (owner === undefined) return undefined;
      const answer = zone.answer(query.name, query.type, owner);
      return answer.sections.counts[0] === 0 && !isSynced() ? failed : answer;
    },
  };
}

/** Everything else: no upstream is asked yet. */
function refuse({ onRefused }: ChainOptions): Plugin {
  return {
    name: "refuse",
    answer(query) {
      onRefused(query);
      return refused;
    },
  };
}
