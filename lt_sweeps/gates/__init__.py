"""Gates: how weights are seen while a gate's own parameters are trained. One function per word of `gate=`."""
