/** What the lanes need of the gateway's topics (gateway/topics/directTopics.ts): whether one may be claimed by a writer, and that it comes into being with its first and goes with its last. */
import type { ClaimVerdict, SampleMeta, TopicClaim } from "../../topics/directTopics.ts";
import type { Quality } from "../../topics/topicSource.ts";

export type { SampleMeta, TopicClaim } from "../../topics/directTopics.ts";

export interface DirectTopics {
  claim(claim: TopicClaim): ClaimVerdict;
  leave(topic: string): void;
  /** A message that came by a lane, for those in the gateway who need it. The bytes are borrowed. */
  sample(topic: string, payload: Uint8Array, meta: SampleMeta): void;
  /** Makes it the topic's last value, unless that is newer, and tells nobody. */
  store(topic: string, payload: Uint8Array, timeUs: number, quality: Quality, origin: string): void;
  /** Calls `listener` whenever somebody in the gateway begins or ends to need what lanes bring of a topic, and for each topic where it is so already. */
  onNeed(listener: (topic: { id: number; name: string }, needed: boolean) => void): () => void;
  /** Messages of its lanes so far; 0 for a topic that is not there. */
  messages(topic: string): number;
  /** How they are counted from now on. */
  countBy(topic: string, count: () => number): void;
}
