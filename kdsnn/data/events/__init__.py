"""Events: where and when a pixel became brighter or darker, put together to a frame for each time step."""
