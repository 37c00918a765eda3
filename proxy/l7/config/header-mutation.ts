/**
 * The header_mutation filter's configuration → HeaderMutations. Pure.
 *
 * Source: envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, envoy.config.common.mutation_rules.v3.
 */
import type { HeaderMutations } from "../route/types.ts";
import { readHeaderAdd } from "./headers.ts";
import type { Reader } from "./reader.ts";

export interface HeaderMutationConfig {
  /** One level for each mutation, so that they are made in their order. */
  readonly request: readonly HeaderMutations[];
  readonly response: readonly HeaderMutations[];
}

export function readHeaderMutationFilter(reader: Reader): HeaderMutationConfig {
  const mutations = reader.wantObject("mutations");
  const config = {
    request: mutations.list("request_mutations").map(readMutation),
    response: mutations.list("response_mutations").map(readMutation),
  };
  mutations.done();
  reader.ignore("most_specific_header_mutations_wins").done();
  return config;
}

function readMutation(reader: Reader): HeaderMutations {
  const removed = reader.text("remove");
  const append = reader.object("append");
  reader.done();
  if (removed !== undefined && removed !== "") return { removes: [removed.toLowerCase()], adds: [] };
  if (append === undefined) throw reader.bad("append", "wanted one of remove and append");
  return { removes: [], adds: [readHeaderAdd(append)] };
}
