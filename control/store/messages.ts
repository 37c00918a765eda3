/** What the store's codes mean and what helps. */
import type { MessageTable } from "#lib/messages.ts";
import type { StoreErrorCode } from "./store.ts";

export const storeMessages: MessageTable<StoreErrorCode> = {
  Compacted: {
    sentence: "The revision asked for is older than the history",
    hint: "list again, then watch from there",
  },
  FutureRevision: {
    sentence: "The revision asked for was not written yet",
    hint: "list again: the store may have been restored from a copy",
  },
  Busy: { sentence: "Too many writes wait", hint: "try again in a second; write less at a time" },
  Closed: { sentence: "The store was closed", hint: "see whether the control process starts again: wherry status" },
  Corrupt: {
    sentence: "The file is not a store, or is damaged",
    hint: "restore a copy of it, or start empty: wherry down --purge; wherry up",
  },
  Locked: { sentence: "Another process has the store", hint: "stop the other cluster of this name: wherry down" },
  Unopenable: {
    sentence: "The file or server cannot be reached",
    hint: "let this user write in the state folder, or set XDG_STATE_HOME",
  },
  UnknownFormat: {
    sentence: "The store was written by a newer version, or by something else",
    hint: "use the version that wrote it, or start empty: wherry down --purge; wherry up",
  },
  Failed: {
    sentence: "Reading or writing failed: the disk is full, or broken",
    hint: "make room in the state folder: df -h",
  },
};
