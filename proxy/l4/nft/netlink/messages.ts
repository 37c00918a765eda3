/**
 * Messages of nftables on netlink, as far as watch.ts and link.ts read them. Pure.
 * Sources: include/uapi/linux/netlink.h, netfilter/nfnetlink.h, netfilter/nf_tables.h.
 */
import { policyTableNames, tableNames } from "../names.ts";

const NFNL_SUBSYS_NFTABLES = 10;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE: the first attribute. */
const NFTA_TABLE = 1;
/** A transaction has ended, and what the kernel answers to the next; names no table. */
const NFT_MSG_NEWGEN = 15;
const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;
const NLM_F_REQUEST = 1;
/** An answer: 0, or an errno's negative, behind the header of what it is about. */
const NLMSG_ERROR = 2;
const errorAt = 16;
const sequenceAt = 8;
/** After nlmsghdr and nfgenmsg. */
const attributesAt = 20;

/** Whether a datagram of netlink messages is about a table of ours. Pure. */
export function namesOurTable(datagram: Buffer): boolean {
  for (let at = 0; at + attributesAt <= datagram.length;) {
    const length = datagram.readUInt32LE(at);
    if (length < attributesAt || at + length > datagram.length) return false;
    const type = datagram.readUInt16LE(at + 4);
    const isChange = type >> 8 === NFNL_SUBSYS_NFTABLES && type !== typeOf(NFT_MSG_NEWGEN);
    const name = isChange ? tableNameIn(datagram.subarray(at + attributesAt, at + length)) : undefined;
    if (name !== undefined && (tableNames.includes(name) || policyTableNames.includes(name))) return true;
    // Messages are aligned to four bytes.
    at += (length + 3) & ~3;
  }
  return false;
}

/** Gives all messages of a transaction a number, by which its answers are known. */
export function setSequence(messages: Buffer, sequence: number): void {
  for (let at = 0; at + attributesAt <= messages.length; at += messages.readUInt32LE(at))
    messages.writeUInt32LE(sequence, at + sequenceAt);
}

/** What a datagram of answers says of each request of that number: 0 for what is done, else an errno. Pure. */
export function errorsIn(datagram: Buffer, sequence: number): readonly number[] {
  const errors: number[] = [];
  for (let at = 0; at + attributesAt <= datagram.length;) {
    const length = datagram.readUInt32LE(at);
    if (length < attributesAt) return errors;
    const isAnswer =
      datagram.readUInt16LE(at + 4) === NLMSG_ERROR && datagram.readUInt32LE(at + sequenceAt) === sequence;
    if (isAnswer) errors.push(Math.abs(datagram.readInt32LE(at + errorAt)));
    at += (length + 3) & ~3;
  }
  return errors;
}

/** The number of the last transaction, as NFT_MSG_NEWGEN says it. Pure. */
export function generationIn(message: Buffer): number | undefined {
  if (message.length < attributesAt || message.readUInt16LE(4) !== typeOf(NFT_MSG_NEWGEN)) return undefined;
  const value = attributeIn(message.subarray(attributesAt), NFTA_GEN_ID);
  return value?.length === 4 ? value.readUInt32BE(0) : undefined;
}

function tableNameIn(attributes: Buffer): string | undefined {
  // Text ends with a zero byte.
  return attributeIn(attributes, NFTA_TABLE)?.subarray(0, -1).toString("utf8");
}

function attributeIn(attributes: Buffer, type: number): Buffer | undefined {
  for (let at = 0; at + 4 <= attributes.length;) {
    const length = attributes.readUInt16LE(at);
    if (length < 4 || at + length > attributes.length) return undefined;
    if (attributes.readUInt16LE(at + 2) === type) return attributes.subarray(at + 4, at + length);
    at += (length + 3) & ~3;
  }
  return undefined;
}

function typeOf(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

/** nlmsghdr and nfgenmsg, of any family. */
export const generationRequest: Buffer = (() => {
  const request = Buffer.alloc(attributesAt);
  request.writeUInt32LE(attributesAt, 0);
  request.writeUInt16LE(typeOf(NFT_MSG_GETGEN), 4);
  request.writeUInt16LE(NLM_F_REQUEST, 6);
  return request;
})();
