#include "daemon/control/status_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <sstream>

#include "daemon/control/device_use.h"
#include "daemon/control/links.h"
#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;
using testing::Not;

StatusFacts sample_facts() {
    StatusFacts facts;
    facts.name.assign_cut("swap0");
    facts.profile = ProfileId::Swap;
    facts.tier = PromiseTier::B;
    facts.phase = IoPhase::Armed;
    facts.session_phase = initiator::SessionPhase::Ready;
    facts.target_name.assign_cut("iqn.2026-11.org.example:disk");
    facts.lun = initiator::Lun{1ULL << 48};
    facts.portal_host.assign_cut("192.0.2.1");
    facts.portal_port = 3260;
    facts.device.vendor.assign_cut("IET");
    facts.device.product.assign_cut("VIRTUAL-DISK");
    facts.device.serial.assign_cut("beaf 11/");
    facts.device.block_bytes = 512;
    facts.device.blocks = 2048;
    facts.exported.path.assign_cut("/dev/ublkb0");
    facts.exported.ublk_id = 0;
    facts.exported.size_bytes = 1 << 20;
    facts.path.kind = NetworkPath::Xdp;
    facts.path.interface.assign_cut("eth0");
    facts.path.queues = 4;
    facts.protections.push({.name = {}, .wanted = {}, .found = {}, .advice = {}, .holds = false});
    facts.protections[0].name.assign_cut("mlockall");
    facts.tier_reasons.push({});
    facts.tier_reasons[0].assign_cut("no XDP gate");
    facts.counters.read_bytes = 4096;
    facts.counters.snacks_sent = 5;
    facts.counters.connections_lost = 6;
    facts.counters.tasks_reassigned = 7;
    facts.counters.tasks_resent = 8;
    facts.counters.connections = 2;
    facts.counters.connections_agreed = 4;
    facts.counters.error_recovery_level = 2;
    facts.counters.fence = initiator::FenceReliance::UnitReset;
    facts.read_latency.add(Duration::from_us(100));
    facts.notices.push({.at = Instant::from_ns(0), .notice = {}});
    return facts;
}

/// Name and type of everything an object holds, as "device.blocks:number".
void collect_schema(const Json& json, const std::string& prefix, std::set<std::string>& into) {
    for (const auto& [key, value] : json.items()) {
        const std::string name = prefix.empty() ? key : prefix + "." + key;
        if (value.is_object()) {
            collect_schema(value, name, into);
        } else if (value.is_array()) {
            into.insert(name + ":array");
            if (!value.empty() && value[0].is_object()) collect_schema(value[0], name + "[]", into);
        } else {
            into.insert(name + ":" + (value.is_number() ? "number" : value.type_name()));
        }
    }
}

// Goal: keys that scripts rely on stay, with their types. Add to this list, never take from it.
TEST(StatusJson, HasEveryDocumentedKey) {
    std::set<std::string> schema;
    collect_schema(status_json(sample_facts(), {.now = Instant::from_ns(5'000'000'000),
                                                .state = "ready",
                                                .heartbeat = 7,
                                                .log_records_dropped = 0}),
                   "", schema);
    for (const char* key : {"name:string",
                            "state:string",
                            "phase:string",
                            "profile:string",
                            "tier:string",
                            "tier_reasons:array",
                            "pid:number",
                            "seconds_up:number",
                            "facts_age_seconds:number",
                            "heartbeat:number",
                            "export.kind:string",
                            "export.ready:boolean",
                            "export.path:string",
                            "export.size_bytes:number",
                            "export.read_only:boolean",
                            "export.ublk_id:number",
                            "path.kind:string",
                            "path.interface:string",
                            "path.mode:string",
                            "path.queues:number",
                            "session.phase:string",
                            "session.target:string",
                            "session.lun:string",
                            "session.portal:string",
                            "session.connections:number",
                            "session.connections_agreed:number",
                            "session.error_recovery_level:number",
                            "session.fence:string",
                            "session.fence_certain:boolean",
                            "session.fence_of_connection:string",
                            "device.vendor:string",
                            "device.block_bytes:number",
                            "device.blocks:number",
                            "device.size_bytes:number",
                            "device.write_cache:boolean",
                            "device.discard:boolean",
                            "memory.plan_bytes:number",
                            "memory.locked_bytes:number",
                            "memory.kernel_reserve_kib:number",
                            "memory.depth:number",
                            "memory.request_bytes_max:number",
                            "protections:array",
                            "protections[].name:string",
                            "protections[].wanted:string",
                            "protections[].found:string",
                            "protections[].holds:boolean",
                            "protections[].advice:string",
                            "counters.requests_done:number",
                            "counters.snacks_sent:number",
                            "counters.connections_lost:number",
                            "counters.tasks_reassigned:number",
                            "counters.tasks_resent:number",
                            "counters.read_bytes:number",
                            "counters.sessions_lost:number",
                            "counters.nop_rtt_last_us:number",
                            "counters.command_window:number",
                            "latency.read.count:number",
                            "latency.read.p50_us:number",
                            "latency.read.p999_us:number",
                            "latency.write.max_us:number",
                            "latency.flush.mean_us:number",
                            "loop_late_max_us:number",
                            "log_records_dropped:number",
                            "notices:array",
                            "notices[].seconds_ago:number",
                            "notices[].text:string"})
        EXPECT_TRUE(schema.contains(key)) << key;
}

// Goal: the text is what a Prometheus scraper takes: every line is a comment or "name{labels}
// value".
TEST(Metrics, EveryLineIsWellFormed) {
    const StatusFacts facts[] = {sample_facts()};
    std::istringstream text{metrics_text(facts)};
    std::set<std::string> typed;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("# TYPE ")) {
            const std::string name = line.substr(7, line.find(' ', 7) - 7);
            EXPECT_TRUE(typed.insert(name).second) << "twice: " << name;
        }
        if (line.starts_with("#")) continue;
        EXPECT_TRUE(line.starts_with("holdfast_")) << line;
        const std::size_t blank = line.rfind(' ');
        ASSERT_NE(blank, std::string::npos) << line;
        EXPECT_EQ(line.substr(blank + 1).find_first_not_of("0123456789.e+-"), std::string::npos)
            << line;
    }
    EXPECT_TRUE(typed.contains("holdfast_latency_seconds"));
    const std::string all = metrics_text(facts);
    EXPECT_THAT(all, HasSubstr("holdfast_snacks_sent_total{name=\"swap0\"} 5\n"));
    EXPECT_THAT(all, HasSubstr("holdfast_connections_lost_total{name=\"swap0\"} 6\n"));
    EXPECT_THAT(all, HasSubstr("holdfast_tasks_reassigned_total{name=\"swap0\"} 7\n"));
    EXPECT_THAT(all, HasSubstr("holdfast_tasks_resent_total{name=\"swap0\"} 8\n"));
    EXPECT_THAT(all, HasSubstr("holdfast_connections{name=\"swap0\"} 2\n"));
    EXPECT_THAT(all, HasSubstr("holdfast_connections_agreed{name=\"swap0\"} 4\n"));
    EXPECT_THAT(all, HasSubstr("holdfast_error_recovery_level{name=\"swap0\"} 2\n"));
    EXPECT_THAT(
        all, HasSubstr("holdfast_fence{name=\"swap0\",rung=\"lun-reset\",certain=\"true\"} 1\n"));
}

// Goal: a scraper gets numbers before anything is attached.
TEST(Metrics, NothingAttachedIsStillAnAnswer) {
    EXPECT_THAT(metrics_text({}), HasSubstr("holdfast_attachments 0\n"));
}

// Goal: names that come from a target cannot break out of a link's name.
TEST(UdevProperties, LinkNamesAreSafe) {
    const std::string text = udev_properties(sample_facts());
    EXPECT_THAT(text, HasSubstr("ID_HOLDFAST_NAME=swap0\n"));
    EXPECT_THAT(text, HasSubstr("ID_HOLDFAST_PATH=ip-192.0.2.1:3260-iscsi-iqn.2026-11.org.example:"
                                "disk-lun-1\n"));
    EXPECT_THAT(text, HasSubstr("ID_HOLDFAST_ID=scsi-SIET_VIRTUAL-DISK_beaf_11_\n"));
    EXPECT_THAT(text, Not(HasSubstr(" ")));
}

// Goal: the strongest name of a unit makes its link.
TEST(UdevProperties, DesignatorBeatsSerial) {
    initiator::DeviceFacts device = sample_facts().device;
    device.designator_type = 3;
    device.designator.assign_cut("6001405abc");
    EXPECT_EQ(by_id_name(device), "wwn-0x6001405abc");
    EXPECT_EQ(by_id_name({}), "");
}

// Goal: our links come and go, and what others put beside them stays.
TEST(Links, AreReplacedAndRemovedButNothingElseIs) {
    const TempDirectory directory;
    const std::string links = directory.path("dev/holdfast");
    ASSERT_TRUE(make_link(links, "swap0", "/dev/ublkb0"));
    ASSERT_TRUE(make_link(links, "swap0", "/dev/ublkb1"));
    EXPECT_EQ(std::filesystem::read_symlink(links + "/swap0"), "/dev/ublkb1");
    remove_link(links, "swap0");
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(links + "/swap0")));
    directory.write("dev/holdfast/file", "x");
    remove_link(links, "file");
    EXPECT_TRUE(std::filesystem::exists(links + "/file"));
}

// Goal: a device that is not there is in nobody's use.
TEST(DeviceUse, AnUnknownDeviceIsFree) {
    EXPECT_FALSE(use_of_device("/dev/no-such-device"));
}

}  // namespace
}  // namespace holdfast::daemon
