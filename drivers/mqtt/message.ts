/** A message as both MQTT drivers hand it up and take it. */

/** Who published it, as far as the broker knows; messages from an external broker have no sender. */
export interface MqttSender {
  clientId: string;
  /** Empty for an anonymous client. */
  user: string;
  /** Changes with each connection of a client. */
  connection: number;
  /** 3, 4 (3.1.1) or 5. */
  protocolVersion: number;
}

export interface MqttMessage {
  topic: string;
  /** Borrowed until the listener returns. */
  payload: Uint8Array;
  /** From the embedded broker: published with the retain flag. From an external one: it is an old message kept for new subscribers. */
  retain: boolean;
  qos: 0 | 1 | 2;
  /** Time of reception, CLOCK_MONOTONIC µs. */
  timeUs: number;
  sender?: MqttSender;
  /** MQTT 5 properties, where the sender set them. */
  responseTopic?: string;
  correlationData?: Uint8Array;
  contentType?: string;
}

export interface MqttOutgoing {
  topic: string;
  /** Handed over: must not change afterwards. */
  payload: Uint8Array;
  qos?: 0 | 1;
  retain?: boolean;
  /** CLOCK_MONOTONIC µs after which it must not be sent any more; Infinity for states that stay true. Reaches MQTT 5 peers as message expiry (whole seconds, rounded up). */
  deadlineUs: number;
  contentType?: string;
  correlationData?: Uint8Array;
}

/** The MQTT 5 properties that we pass on, from either library's packet. */
export function copyProperties(properties: object | undefined): Pick<MqttMessage, "responseTopic" | "correlationData" | "contentType"> {
  const { responseTopic, correlationData, contentType } = (properties ?? {}) as { responseTopic?: string; correlationData?: Uint8Array; contentType?: string };
  return { ...(responseTopic === undefined ? {} : { responseTopic }), ...(correlationData === undefined ? {} : { correlationData }), ...(contentType === undefined ? {} : { contentType }) };
}
