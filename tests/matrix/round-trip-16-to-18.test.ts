// Round trips of the sample databases on PostgreSQL 16 to 18.

import { testRoundTrips } from "./round-trips.ts";

testRoundTrips([16, 17, 18]);
