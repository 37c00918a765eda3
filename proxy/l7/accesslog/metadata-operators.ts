/**
 * Operators that give the metadata of what a request went by: METADATA(ROUTE:namespace:key…). Pure.
 *
 * Nothing of dynamic metadata: no filter here makes any. Source: Envoy's METADATA, CLUSTER_METADATA, UPSTREAM_METADATA.
 */
import type { Fail, FormatRecord, Metadata, Operator, OperatorSpec, OperatorValue } from "./types.ts";

const holders: Readonly<Record<string, (record: FormatRecord) => Metadata | undefined>> = {
  ROUTE: ({ route }) => route?.metadata,
  VIRTUAL_HOST: ({ route }) => route?.hostMetadata,
  CLUSTER: ({ cluster }) => cluster?.spec?.metadata,
  UPSTREAM_HOST: ({ endpoint }) => endpoint?.filterMetadata,
  LISTENER: ({ connection }) => connection.listenerMetadata,
  LISTENER_FILTER_CHAIN: ({ connection }) => connection.chainMetadata,
};

export const metadataOperators: Readonly<Record<string, OperatorSpec>> = {
  METADATA: {
    wantsArgument: true,
    make(argument, fail) {
      const [holder = "", ...path] = argument.split(":");
      const read = Object.hasOwn(holders, holder) ? holders[holder] : undefined;
      if (read === undefined)
        throw fail(`${JSON.stringify(holder)} is not supported, wanted ${Object.keys(holders).join(", ")}`);
      return compilePath(read, path, fail);
    },
  },
  CLUSTER_METADATA: of("CLUSTER"),
  UPSTREAM_METADATA: of("UPSTREAM_HOST"),
};

function of(holder: string): OperatorSpec {
  return { wantsArgument: true, make: (argument, fail) => compilePath(holders[holder]!, argument.split(":"), fail) };
}

function compilePath(
  read: (record: FormatRecord) => Metadata | undefined,
  [namespace, ...keys]: readonly string[],
  fail: Fail,
): Operator {
  if (namespace === undefined || namespace === "") throw fail("wanted a namespace");
  return (record) => {
    let value: unknown = own(read(record), namespace);
    for (const key of keys) value = own(value, key);
    return value as OperatorValue;
  };
}

function own(value: unknown, key: string): unknown {
  const isThere = typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, key);
  return isThere ? (value as Metadata)[key] : undefined;
}
