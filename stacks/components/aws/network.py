"""The tenant's VPC: private subnets in three zones, endpoints instead of a way out, and a record of all flows."""

import ipaddress

import pulumi
import pulumi_aws as aws

from stacks.components.aws.role import service_role
from stacks.components.aws.site import AwsSite, document, statement

#: Services reached through interface endpoints, by the last part of their name. `eks-auth` is what Pod Identity asks.
INTERFACE_ENDPOINTS = (
    "ecr.api", "ecr.dkr", "sts", "secretsmanager", "logs", "eks", "eks-auth", "ec2", "kms",
    "elasticloadbalancing",
)  # fmt: skip
FLOW_LOG_DAYS = 90


def subnet_cidrs(vpc_cidr: str, zones: int) -> list[str]:
    """Equal parts of the VPC, one a zone; a quarter stays free for what is to come."""
    network = ipaddress.IPv4Network(vpc_cidr)
    return [str(part) for part in list(network.subnets(prefixlen_diff=2))[:zones]]


class AwsNetwork(pulumi.ComponentResource):
    """`ready` is what machines wait for, and what goes only after them: a node that drains needs its routes."""

    vpc_id: pulumi.Output[str]
    subnet_ids: list[pulumi.Output[str]]
    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        site: AwsSite,
        *,
        key_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:Network", name, None, opts)
        self._name, self._site = name, site
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=site.place.vpc_cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=site.tags(site.name()),
            opts=site.options(self),
        )
        self.vpc_id = vpc.id
        table = aws.ec2.RouteTable(
            f"{name}-routes",
            vpc_id=vpc.id,
            tags=site.tags(site.name("private")),
            opts=site.options(self),
        )
        self.ready = [table]
        self.subnet_ids = []
        for zone, cidr in zip(
            site.place.zones, subnet_cidrs(site.place.vpc_cidr, len(site.place.zones)), strict=True
        ):
            subnet = aws.ec2.Subnet(
                f"{name}-subnet-{zone}",
                vpc_id=vpc.id,
                cidr_block=cidr,
                availability_zone=zone,
                map_public_ip_on_launch=False,
                tags={**site.tags(site.name(zone)), "kubernetes.io/role/internal-elb": "1"},
                opts=site.options(self),
            )
            self.subnet_ids.append(subnet.id)
            self.ready.append(
                aws.ec2.RouteTableAssociation(
                    f"{name}-routes-{zone}",
                    subnet_id=subnet.id,
                    route_table_id=table.id,
                    opts=site.options(self),
                )
            )
        self._gateway(vpc, table)
        self._endpoints(vpc, table)
        self._flow_log(vpc, key_arn)
        self.register_outputs({"vpc_id": self.vpc_id})

    def _gateway(self, vpc: "aws.ec2.Vpc", table: "aws.ec2.RouteTable") -> None:
        """The way to the control plane, where the operator runs a transit gateway for it."""
        site = self._site
        if site.place.transit_gateway_id is None:
            return
        attachment = aws.ec2transitgateway.VpcAttachment(
            f"{self._name}-gateway",
            transit_gateway_id=site.place.transit_gateway_id,
            vpc_id=vpc.id,
            subnet_ids=self.subnet_ids,
            tags=site.tags(site.name("gateway")),
            opts=site.options(self),
        )
        self.ready.append(attachment)
        for index, cidr in enumerate(site.place.cluster.control_plane_cidrs):
            self.ready.append(
                aws.ec2.Route(
                    f"{self._name}-to-control-plane-{index}",
                    route_table_id=table.id,
                    destination_cidr_block=cidr,
                    transit_gateway_id=site.place.transit_gateway_id,
                    opts=site.options(self, [attachment]),
                )
            )

    def _endpoints(self, vpc: "aws.ec2.Vpc", table: "aws.ec2.RouteTable") -> None:
        site = self._site
        group = aws.ec2.SecurityGroup(
            f"{self._name}-endpoints",
            name=site.name("endpoints"),
            description="HTTPS from the VPC to the endpoints of AWS services",
            vpc_id=vpc.id,
            tags=site.tags(site.name("endpoints")),
            opts=site.options(self),
        )
        allowed = aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-endpoints-https",
            security_group_id=group.id,
            cidr_ipv4=site.place.vpc_cidr,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            tags=site.tags(site.name("endpoints-https")),
            opts=site.options(self),
        )
        self.ready += [
            allowed,
            aws.ec2.VpcEndpoint(
                f"{self._name}-s3",
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{site.region}.s3",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id],
                tags=site.tags(site.name("s3")),
                opts=site.options(self),
            ),
        ]
        for service in INTERFACE_ENDPOINTS:
            self.ready.append(
                aws.ec2.VpcEndpoint(
                    f"{self._name}-{service.replace('.', '-')}",
                    vpc_id=vpc.id,
                    service_name=f"com.amazonaws.{site.region}.{service}",
                    vpc_endpoint_type="Interface",
                    private_dns_enabled=True,
                    subnet_ids=self.subnet_ids,
                    security_group_ids=[group.id],
                    tags=site.tags(site.name(service.replace(".", "-"))),
                    opts=site.options(self),
                )
            )

    def _flow_log(self, vpc: "aws.ec2.Vpc", key_arn: pulumi.Output[str]) -> None:
        site = self._site
        group = aws.cloudwatch.LogGroup(
            f"{self._name}-flows",
            name=f"/freehold/{site.name()}/flows",
            retention_in_days=FLOW_LOG_DAYS,
            kms_key_id=key_arn,
            tags=site.tags(site.name("flows")),
            opts=site.options(self),
        )
        role = service_role(
            f"{self._name}-flows-role", site, self, part="flows", service="vpc-flow-logs.amazonaws.com"
        )
        writes = aws.iam.RolePolicy(
            f"{self._name}-flows-policy",
            name="write",
            role=role.name,
            policy=group.arn.apply(
                lambda arn: document(
                    statement(
                        ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"], [f"{arn}:*"]
                    )
                )
            ),
            opts=site.options(self),
        )
        aws.ec2.FlowLog(
            f"{self._name}-flow-log",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=60,
            tags=site.tags(site.name("flows")),
            opts=site.options(self, [writes]),
        )
