/** What the lanes need of the gateway's topics: whether one may be claimed by a writer, and that it comes into being with its first and goes with its last. */
import type { AdvertEncoding } from "../../../shm/protocol/laneMessages.ts";

export interface TopicClaim {
  topic: string;
  encoding: AdvertEncoding;
  schemaHash: bigint;
  /** RecordLayout as JSON. */
  layout: unknown;
  jsonSchema: unknown;
}

export interface DirectTopics {
  /**
   * One more writer of a topic: 100 and its id, declaring it if nobody has. 202 the gateway alone writes it; 205 somebody else owns it alone; 206 it exists with another schema;
   * 200 the layout or schema is not what the hash says; 210 there are too many topics.
   */
  claim(claim: TopicClaim): { status: number; text: string; topicId?: number };
  /** One writer less. */
  leave(topic: string): void;
}
