/** What the load-check process says, once, over IPC. Both ends are the same build. */
export type LoadVerdict =
  | {
      readonly loads: true;
      readonly inputs: readonly string[];
      readonly outputs: readonly string[];
      /** Why each output that no host would serve is none. */
      readonly notServed: readonly string[];
    }
  | {
      readonly loads: false;
      readonly by: 'onnxruntime' | 'scoring host';
      readonly reason: string;
    };
