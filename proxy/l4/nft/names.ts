/** The names of our tables in the kernel, in each family. The second of two is for what does not fit one transaction. */

export type TableNames = readonly [string, string];

/** Those of Services. */
export const tableNames: TableNames = ["wherry-proxy", "wherry-proxy-2"];
/** Those of NetworkPolicy. */
export const policyTableNames: TableNames = ["wherry-policy", "wherry-policy-2"];
