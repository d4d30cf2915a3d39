#!/usr/bin/perl
# Submit a job to a spool: perl submit.pl SPOOL [COMMAND]; without COMMAND it is read from stdin.
# Uses nothing but what comes with Perl.
use strict;
use warnings;
use Fcntl qw(O_CREAT O_EXCL O_WRONLY S_ISGID);
use IO::Handle;
use JSON::PP;
use POSIX qw(strftime);
use Time::HiRes qw(gettimeofday);

my ($spool, $command) = @ARGV;
-d "$spool/tmp" or die "there is no spool at $spool\n";
$command = do { local $/; <STDIN> } unless defined $command;
utf8::decode($command) or die "the command is not UTF-8\n";

sub random_id {
    open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    read($random, my $bytes, 16) == 16 or die "/dev/urandom: $!\n";
    return unpack 'H*', $bytes;
}

# A name of the form: time in UTC with microseconds, priority, attempts so far, id.
my $id = random_id();
my ($seconds, $micros) = gettimeofday;
my $name = strftime('%Y%m%dT%H%M%S', gmtime $seconds) . sprintf('%06dZ.p5.a0.%s.json', $micros, $id);
my ($made, $job) = ("$spool/tmp/$name", "$spool/pending/$name");

my $is_shared = (stat "$spool/tmp")[2] & S_ISGID;    # a group's spool, or one's own
sysopen my $file, $made, O_CREAT | O_EXCL | O_WRONLY, 0600 or die "$made: $!\n";
eval {
    chmod $is_shared ? 0660 : 0600, $file or die "$made: $!\n";
    print $file encode_json({ command => $command }), "\n" or die "$made: $!\n";
    $file->flush or die "$made: $!\n";
    $file->sync or die "$made: $!\n";    # the data
    close $file or die "$made: $!\n";
    link $made, $job or die "$job: $!\n";    # a new name, and never over another
    1;
} or do { my $why = $@; unlink $made; die $why };
unlink $made;

open my $pending, '<', "$spool/pending" or die "$spool/pending: $!\n";
$pending->sync or die "$spool/pending: $!\n";    # the name
print "$id\n";
close STDOUT or die "stdout: $!\n";
