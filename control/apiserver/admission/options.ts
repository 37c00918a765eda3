/** What of admission is the operator's to choose. */
export interface AdmissionOptions {
  /** Refuse pods whose ServiceAccount is not there. Default false: where no controller makes accounts, there are none. */
  readonly requireServiceAccounts?: boolean | undefined;
  /** Give pods a volume with a token of their ServiceAccount. Default false. */
  readonly automountTokens?: boolean | undefined;
  /** How long pods stay on a node that is not ready unless they say otherwise, in s. Default 300. */
  readonly defaultNotReadyTolerationSeconds?: number | undefined;
  /** The same for a node that is unreachable. */
  readonly defaultUnreachableTolerationSeconds?: number | undefined;
}
