/** The version of this agent, as it reports itself. A test holds it to the package's. */
export const agentVersion = '0.1.0';
